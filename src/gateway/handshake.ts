/**
 * A client's side of a WebSocket handshake (RFC 6455 §4.2): what it asks for, where its key is, and what it is answered.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { BrokerError } from '../base/errors.ts'
import { responseHeaders } from '../upstream/headers.ts'
import { acceptOf, type Refused } from '../upstream/web-socket.ts'
import { presentedKey } from './client-call.ts'

/** How browsers, which cannot set headers here, present a key to OpenAI. */
const KEY_PROTOCOL = 'openai-insecure-api-key.'
const KEY = 'sk-tb-'
const WEB_SOCKET_KEY = /^[A-Za-z0-9+/]{22}==$/
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

export interface ClientHandshake {
  /** The broker key. */
  readonly presented: string | undefined
  readonly webSocketKey: string
  /** Those that may go upstream: none with a key in it. */
  readonly protocols: readonly string[]
}

/** @throws BrokerError malformed_request | invalid_api_key */
export function readHandshake({ headers }: IncomingMessage): ClientHandshake {
  const webSocketKey = headers['sec-websocket-key']
  const isHandshake =
    headers['sec-websocket-version'] === '13' &&
    webSocketKey !== undefined &&
    WEB_SOCKET_KEY.test(webSocketKey) &&
    (headers['content-length'] ?? '0') === '0' &&
    headers['transfer-encoding'] === undefined
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  const protocols = offered.filter((name) => name !== '')
  if (!isHandshake || !protocols.every((name) => TOKEN.test(name)))
    throw new BrokerError('malformed_request', { reason: 'it is no WebSocket handshake of version 13' })
  const hidden = protocols.find((name) => name.startsWith(KEY_PROTOCOL))?.slice(KEY_PROTOCOL.length)
  const inHeader = presentedKey(headers)
  if (hidden !== undefined && inHeader !== undefined && hidden !== inHeader) {
    const reason = 'the subprotocol holds another key than the headers'
    throw new BrokerError('invalid_api_key', { reason })
  }
  const open = protocols.filter((name) => !name.includes('api-key') && !name.includes(KEY))
  return { presented: inHeader ?? hidden, webSocketKey, protocols: open }
}

/** The head that switches to frames. No extension is agreed on, so that frames can be read. */
export function acceptance(
  webSocketKey: string,
  protocol: string | undefined,
  headers: readonly string[],
): string {
  let head =
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n' +
    `sec-websocket-accept: ${acceptOf(webSocketKey)}\r\n`
  if (protocol !== undefined) head += `sec-websocket-protocol: ${protocol}\r\n`
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`
  return `${head}\r\n`
}

/** What is asked there by frames can be asked by a call as well: a client that hears so (426) does, and else tries on. */
export function isAlsoCall(target: string): boolean {
  return /^\/v1\/responses(?:\?|$)/.test(target)
}

/** Says that there are no WebSockets at this path, if in other words. */
function isNoPlace(status: number): boolean {
  return status < 300 || status === 501 || (status >= 400 && status < 500 && !OF_THE_ACCOUNT.has(status))
}

const OF_THE_ACCOUNT: ReadonlySet<number> = new Set([401, 402, 429])

/** An answer of HTTP to a handshake. @throws BrokerError upstream_redirected | websocket_not_served */
export function passOn(
  { status, headers, body }: Refused,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  if (isAlsoCall(request.raw.url ?? '') && isNoPlace(status))
    throw new BrokerError('websocket_not_served', { detail: `status ${status}` })
  if (status > 599) throw new BrokerError('upstream_broken', { detail: `status ${status}` })
  if (status > 300 && status < 400)
    throw new BrokerError('upstream_redirected', { detail: `status ${status}` })
  const kept = responseHeaders(headers, status)
  for (let i = 0; i < kept.length; i += 2) {
    const name = kept[i] as string
    if (name !== 'content-length') reply.header(name, kept[i + 1])
  }
  void reply.code(status).header('x-request-id', request.id).send(body)
}
