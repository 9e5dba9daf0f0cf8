/**
 * A strict proxy: tunnels only (RFC 9110 §9.3.6), only with the right credentials, only to the names it was given.
 */
import { createServer as createHttp, type IncomingMessage, type Server } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { createServer as createTls } from 'node:tls'
import type { Test } from 'tap'
import type { KeyPair } from './certificates.ts'

export interface ConnectProxy {
  /** With the credentials, as HTTPS_PROXY has it. */
  readonly url: string
  readonly host: string
  /** host:port of every tunnel that was asked for, in order. */
  readonly asked: string[]
  /** Everything the proxy was told, to look for what is none of its business. */
  readonly heard: string[]
  /** How it answers CONNECT from now on, as it stands on the wire; undefined: as it should. */
  answer: string | undefined
}

export const PROXY_USER = 'egress@corp'
export const PROXY_PASSWORD = 'canary:pass/word%41'

/** @param names host:port → port on loopback. @param pair speaks TLS to its clients, too */
export async function startProxy(
  t: Test,
  names: Record<string, number>,
  pair?: KeyPair,
): Promise<ConnectProxy> {
  const server: Server = pair ? createHttps(pair) : createHttp()
  const open = new Set<Socket>()
  const secret = Buffer.from(`${PROXY_USER}:${PROXY_PASSWORD}`).toString('base64')
  server.on('request', (_request, response) => response.writeHead(405).end())
  server.on('connect', (request: IncomingMessage, client: Socket) => {
    open.add(client.on('error', () => {}))
    proxy.asked.push(request.url ?? '')
    proxy.heard.push(JSON.stringify(request.rawHeaders))
    const port = names[request.url ?? '']
    if (proxy.answer !== undefined) return void client.end(proxy.answer)
    if (request.headers['proxy-authorization'] !== `Basic ${secret}`)
      return void client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    if (request.headers.host !== request.url) return void client.end('HTTP/1.1 400 Bad Request\r\n\r\n')
    if (port === undefined) return void client.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 2\r\n\r\nno')
    const upstream = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      client.pipe(upstream).pipe(client)
    })
    open.add(upstream.on('error', () => client.destroy()))
  })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.closeAllConnections()
    server.close()
  })
  const host = `localhost:${(server.address() as AddressInfo).port}`
  const credentials = `${encodeURIComponent(PROXY_USER)}:${encodeURIComponent(PROXY_PASSWORD)}`
  const url = `${pair ? 'https' : 'http'}://${credentials}@${host}`
  const proxy: ConnectProxy = { url, host, asked: [], heard: [], answer: undefined }
  return proxy
}

/** TLS in front of plain servers on loopback, told apart by the name that was asked for. @returns its port */
export async function startTls(t: Test, pair: KeyPair, ports: Record<string, number>): Promise<number> {
  const open = new Set<Socket>()
  const server = createTls(pair, (client) => {
    const plain = connect(ports[client.servername || ''] ?? 0, '127.0.0.1')
    open.add(client.on('error', () => plain.destroy())).add(plain.on('error', () => client.destroy()))
    client.pipe(plain).pipe(client)
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
