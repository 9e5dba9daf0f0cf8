/**
 * Where the browser of a login on the terminal comes back to (RFC 8252 §7.3): a server on this machine, for as long as the
 * login takes.
 */
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Language, languageFor } from '../base/language.ts'
import { createServer } from '../base/node-http.ts'
import { loopbackAddress } from '../oauth/authorization-code.ts'
import type { Redirect } from '../provider/authorization-server-config.ts'

export interface LoopbackListener {
  /** With the port that it has. */
  readonly redirectUri: string
  /** Told of each address that a browser opens; false: it is none of this login. */
  onAddress: (address: string, told: (isGood: boolean) => void) => boolean
  close(): void
}

/** @throws NodeJS.ErrnoException if the address cannot be had */
export async function listenOnLoopback(loopback: Redirect['loopback']): Promise<LoopbackListener> {
  let isFound = false
  const server = createServer((request, response) => {
    const language = languageFor(request)
    const told = (isGood: boolean) => page(response, isGood ? 200 : 400, isGood ? 'good' : 'bad', language)
    // As it came: anybody on this machine, and any page in a browser, may ask for what is no address at all.
    if (isFound || !listener.onAddress(`${origin}${request.url}`, told))
      page(response, 404, 'unknown', language)
    else isFound = true
  })
  // Whoever is still connected when the login is over holds the command up no longer.
  server.on('connection', (socket) => socket.unref())
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(loopback.port, loopback.host, resolve)
  })
  const { port } = server.address() as AddressInfo
  const redirectUri = loopbackAddress({ ...loopback, port })
  const { origin } = new URL(redirectUri)
  const listener: LoopbackListener = { redirectUri, onAddress: () => false, close: () => void server.close() }
  return listener
}

const TEXTS = {
  good: { en: 'Logged in. You can close this window.', zh: '已登录，可以关闭此窗口。' },
  bad: { en: 'That did not work: the terminal says why.', zh: '登录未成功，原因见终端。' },
  unknown: { en: 'No login is waiting for this address.', zh: '没有登录在等待此地址。' },
} as const satisfies Record<string, Record<Language, string>>

function page(response: ServerResponse, status: number, text: keyof typeof TEXTS, language: Language): void {
  const headers = {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    connection: 'close',
  }
  response
    .writeHead(status, headers)
    .end(
      `<!doctype html><html lang="${language}"><title>token-broker</title><p>${TEXTS[text][language]}</p></html>`,
    )
}
