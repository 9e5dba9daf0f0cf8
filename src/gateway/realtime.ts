/**
 * What is different about WebSockets (`/v1/realtime`): the model stands in the query, and @fastify/http-proxy
 * carries them, which needs some care at both ends of their life.
 */
import type { ClientRequest } from 'node:http'
import { BrokerError, ERRORS } from '../base/errors.ts'

/** The model a handshake asks for. @throws BrokerError malformed_request if it asks for two */
export function modelInQuery(target: string): string | undefined {
  const models = new URLSearchParams(queryOf(target)).getAll('model')
  if (models.length > 1) throw new BrokerError('malformed_request', { reason: 'the query names two models' })
  return models[0]
}

/** The target with another model in the place of the one it has; the rest of the query stays byte for byte. */
export function withModelInQuery(target: string, model: string): string {
  const parts = queryOf(target).split('&')
  const renamed = parts.map((part) =>
    new URLSearchParams(part).has('model') ? `model=${encodeURIComponent(model)}` : part,
  )
  return `${target.slice(0, target.indexOf('?'))}?${renamed.join('&')}`
}

function queryOf(target: string): string {
  const question = target.indexOf('?')
  return question === -1 ? '' : target.slice(question + 1)
}

interface Socket {
  readonly readyState: number
  terminate(): void
}

const CLOSING = 2

/** Upstream has accepted. A client that left meanwhile was not missed by the proxy, which only closes open sockets. */
export function hangUpIfLeft(_context: unknown, client: Socket, upstream: Socket): void {
  if (client.readyState >= CLOSING) upstream.terminate()
}

/**
 * Sends the handshake. Its error becomes the reason of a close frame, where there is room for 123 bytes (more
 * would throw, with nobody to catch it), and where names of hosts inside have no business.
 */
export function finishHandshake(request: ClientRequest): void {
  request.prependListener('error', (error) => {
    error.message = ERRORS.upstream_unreachable.english
  })
  request.end()
}
