/**
 * Puts the gateway on `/v1/*`. @fastify/http-proxy owns the route and carries WebSockets. Plain HTTP goes through
 * our own `send` and `relay`, streamed bodies too, because the proxy's HTTP path does not hang up upstream when a
 * client leaves before the head, and ends broken streams silently.
 */
import type { IncomingMessage } from 'node:http'
import httpProxy from '@fastify/http-proxy'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { toBrokerError } from '../base/errors.ts'
import type { Gateway, GatewayParts, RealtimeTarget } from './gateway.ts'
import { errorHeaders, openAiError } from './openai-error.ts'
import { finishHandshake, hangUpIfLeft } from './realtime.ts'

const realtimeTargets = new WeakMap<FastifyRequest, RealtimeTarget>()

export async function gatewayRoutes(
  app: FastifyInstance,
  gateway: Gateway,
  parts: GatewayParts,
): Promise<void> {
  // A constant, because the proxy's types know only the options of `ws` itself.
  const wsClientOptions = { rewriteRequestHeaders: realtimeHeaders, finishRequest: finishHandshake }
  app.removeAllContentTypeParsers()
  app.setErrorHandler((thrown, request, reply) => answerError(thrown, request, reply, parts))

  // Before Fastify looks for a parser: what follows a first hook is for WebSockets only.
  app.addHook('onRequest', (request, reply, done) => {
    if (isUpgrade(request.raw)) done()
    else gateway.handle(request, reply).catch(done)
  })
  await app.register(httpProxy, {
    prefix: '/v1',
    upstream: '',
    websocket: true,
    preHandler: async (request) => {
      realtimeTargets.set(request, await gateway.prepareRealtime(request))
    },
    // `prepareRealtime` has put the upstream path into the URL; the proxy takes this prefix off again.
    preRewrite: (url, _params, prefix) => prefix + url,
    replyOptions: { getUpstream: (request) => realtimeTargets.get(request as FastifyRequest)?.origin ?? '' },
    wsClientOptions,
    wsHooks: { onConnect: hangUpIfLeft },
    wsServerOptions: { handleProtocols: firstPublicProtocol },
  })
}

/** The parser's word, not the header's: with `Upgrade` alone a call is still a call, and no socket is taken over. */
function isUpgrade(request: IncomingMessage & { upgrade?: boolean }): boolean {
  return request.upgrade === true
}

function realtimeHeaders(_headers: object, request: FastifyRequest): Record<string, string> {
  return realtimeTargets.get(request)?.headers ?? {}
}

/** Some browser clients hide their key among the subprotocols; it must not reach upstream. */
function firstPublicProtocol(protocols: Set<string>): string | false {
  for (const protocol of protocols) if (!protocol.includes('api-key')) return protocol
  return false
}

function answerError(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  parts: GatewayParts,
): void {
  const error = toBrokerError(thrown)
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
  // What was not read of the body would be taken for the next request on this connection.
  if (!request.raw.complete) reply.header('connection', 'close')
  reply
    .code(error.status)
    .headers({ 'x-request-id': request.id, ...errorHeaders(error) })
    .send(openAiError(error))
}
