/**
 * WebSockets of the model endpoint: who may open one, and that each message is answered by events, one message after
 * the other.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import { STATUS_CODES } from '../base/node-http.ts'
import { ApiError, openAiError } from './api-error.ts'
import { paced, type TypedEvent } from './event-stream.ts'

const MAX_MESSAGE_BYTES = 16 * 1024 * 1024

/** What is said on one connection. */
export interface Talk {
  /** Before anything was asked. */
  readonly greeting: readonly TypedEvent[]
  /** @throws ApiError */
  answer(message: Buffer): readonly TypedEvent[]
}

/** @throws ApiError where no such talk is held */
export type Begin = (url: URL) => Talk

/**
 * @param check whether the handshake may be accepted: throws an ApiError if not
 * @param talks by path
 */
export function addSockets(
  scope: FastifyInstance,
  check: (request: IncomingMessage) => void,
  talks: Readonly<Record<string, Begin>>,
): void {
  const server = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES })
  scope.server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {}) // its close follows
    try {
      check(request)
      const url = new URL(request.url ?? '/', 'http://sandbox')
      const begin = Object.hasOwn(talks, url.pathname) ? talks[url.pathname] : undefined
      if (!begin) throw new ApiError('unknown_url')
      const talk = begin(url)
      server.handleUpgrade(request, socket, head, (client) => hold(client, talk))
    } catch (thrown) {
      refuse(socket, thrown as ApiError)
    }
  })
  scope.addHook('preClose', async () => {
    for (const client of server.clients) client.terminate()
  })
}

function hold(client: WebSocket, talk: Talk): void {
  let turn = send(client, talk.greeting)
  client.on('error', () => {}) // its close follows
  client.on('message', (message) => {
    turn = turn.then(() => send(client, answerTo(message, talk)))
  })
}

function answerTo(message: RawData, talk: Talk): readonly TypedEvent[] {
  try {
    return talk.answer(message as Buffer) // as they are without `binaryType`
  } catch (thrown) {
    return [{ type: 'error', ...openAiError(thrown as ApiError) }]
  }
}

async function send(client: WebSocket, events: readonly TypedEvent[]): Promise<void> {
  for await (const event of paced(events)) client.send(JSON.stringify(event), () => {})
}

function refuse(socket: Duplex, thrown: ApiError): void {
  const { status, error } = openAiError(thrown)
  const body = JSON.stringify({ error })
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json\r\nconnection: close\r\n`
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
}
