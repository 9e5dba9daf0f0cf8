/**
 * Puts the gateway on `/v1/*`. @fastify/http-proxy owns the routes. What goes through them is carried by our own parts:
 * calls by `send` and `relay`, because the proxy does not hang up upstream when a client leaves before the head, and
 * ends broken streams silently; WebSockets by joined sockets, because its own know no back-pressure and no end but
 * their sides'.
 */
import type { Socket } from 'node:net'
import httpProxy from '@fastify/http-proxy'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { BrokerError } from '../base/errors.ts'
import { inTurn } from '../base/in-turn.ts'
import { ServerResponse } from '../base/node-http.ts'
import { isSame, type Secret } from '../base/secret.ts'
import { toBrokerError } from '../base/thrown.ts'
import { errorBody, errorHeaders } from './api-error.ts'
import { presentedKey } from './client-call.ts'
import { ClientSocket, isUpgrade } from './client-socket.ts'
import type { Gateway, GatewayParts } from './gateway.ts'
import type { Realtime } from './realtime.ts'
import { hasUnreadBody } from './request-body.ts'

export interface RouteParts extends Pick<GatewayParts, 'metrics' | 'log'> {
  readonly adminToken: Secret
}

export async function gatewayRoutes(
  app: FastifyInstance,
  gateway: Gateway,
  realtime: Realtime,
  parts: RouteParts,
): Promise<void> {
  app.removeAllContentTypeParsers()
  app.setErrorHandler((thrown, request, reply) => answerError(thrown, request, reply, parts))
  const upgrading = takeUpgrades(app)

  // Before Fastify looks for a parser: nothing goes further than this hook.
  app.addHook('onRequest', (request, reply, done) => {
    const client = isUpgrade(request.raw) ? upgrading.get(request.raw) : undefined
    const handled = client ? realtime.handle(request, reply, client) : gateway.handle(request, reply)
    handled.catch(done)
  })
  await app.register(httpProxy, { prefix: '/v1', upstream: '', replyOptions: { getUpstream: () => '' } })
}

/** Handshakes go the way of all requests, so that every hook sees them, with a response that may be detached again. */
function takeUpgrades(app: FastifyInstance): WeakMap<object, ClientSocket> {
  const upgrading = new WeakMap<object, ClientSocket>()
  app.server.on('upgrade', (request, stream, head) => {
    const socket = stream as Socket
    const response = new ServerResponse(request)
    socket.on('error', () => {}) // its close follows
    response.shouldKeepAlive = false
    response.on('finish', () => socket.destroySoon())
    inTurn(socket, response, () => {
      response.assignSocket(socket)
      upgrading.set(request, new ClientSocket(socket, head, response))
      app.routing(request, response)
    })
  })
  return upgrading
}

function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply, parts: RouteParts): void {
  const error = explained(toBrokerError(thrown), request, parts.adminToken)
  const hasLeft = reply.raw.destroyed
  const fields = {
    requestId: request.id,
    status: hasLeft ? 499 : error.status,
    code: error.code,
    detail: error.detail,
  }
  if (hasLeft) parts.metrics.abandonedCalls += 1
  else parts.metrics.answered(error.status)
  if (error.code === 'internal_error') parts.log.error({ ...fields, err: thrown }, 'call failed')
  else parts.log.info(fields, 'call')
  if (hasUnreadBody(request.raw)) reply.header('connection', 'close')
  reply.code(error.status).headers(errorHeaders(error, request)).send(errorBody(error, request))
}

/** Whoever may try here how the admin token reads can try for ever: only one too long to be found so is told. */
const MIN_TOLD = 32

/** The admin token in the place of a key is a mistake of its own. */
function explained(error: BrokerError, { headers }: FastifyRequest, adminToken: Secret): BrokerError {
  const expected = adminToken.reveal()
  if (error.code !== 'invalid_api_key' || expected.length < MIN_TOLD) return error
  let presented: string | undefined
  try {
    presented = presentedKey(headers)
  } catch {
    return error // two keys
  }
  if (presented === undefined || !isSame(presented, expected)) return error
  const reason = 'the one sent is the admin token, which manages and makes no calls; create a key with it'
  return new BrokerError('invalid_api_key', { reason })
}
