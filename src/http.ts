/**
 * The HTTP server without its routes: request ids, validation, and how errors that no route caught look.
 */
import { randomBytes } from 'node:crypto'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { Compile } from 'typebox/compile'
import type { Config } from './base/config.ts'
import { apiErrorBody, BrokerError, toBrokerError } from './base/errors.ts'
import type { Logger } from './base/log.ts'
import { firstMistake } from './base/mistake.ts'
import { errorHeaders, openAiError } from './gateway/openai-error.ts'

const KEEP_ALIVE_MS = 72_000

export function createHttp(config: Config): FastifyInstance {
  const boot = randomBytes(6).toString('base64url')
  let calls = 0
  const fastify = Fastify({
    logger: false,
    genReqId: () => `${boot}-${(calls++).toString(36)}`,
    requestIdHeader: false,
    trustProxy: config.trustedProxies.length > 0 ? [...config.trustedProxies] : false,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: 0, // a 1 GiB upload may take its time
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    frameworkErrors: (_error, request, reply) =>
      answerError(new BrokerError('malformed_request'), request, reply as FastifyReply),
  })
  fastify.setValidatorCompiler(({ schema, httpPart }) => {
    const compiled = Compile(schema as Parameters<typeof Compile>[0])
    return (value) => {
      const given = httpPart === 'body' ? value : fromText(compiled, value as object)
      const mistake = firstMistake(compiled, given)
      if (!mistake) return { value: given }
      const field = mistake.path.join('.') || `the ${httpPart}`
      return { error: new BrokerError('invalid_request', { reason: `${field} ${mistake.message}` }) }
    }
  })
  fastify.removeContentTypeParser('text/plain') // what any web page may send without asking
  const parseJson = fastify.getDefaultJsonParser('error', 'error')
  fastify.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else parseJson(request, body as string, done)
  })
  fastify.setErrorHandler(answerError)
  fastify.setNotFoundHandler((request, reply) => answerError(new BrokerError('not_found'), request, reply))
  return fastify
}

/** What a query or a path says, in the schema's types. A number must be the very number: 1.5 is not cut to 1. */
function fromText(schema: ReturnType<typeof Compile>, said: object): object {
  const converted = schema.Convert({ ...said }) as Record<string, unknown>
  for (const [name, text] of Object.entries(said)) {
    if (typeof converted[name] === 'number' && converted[name] !== Number(text)) converted[name] = text
  }
  return converted
}

function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = toBrokerError(thrown)
  reply
    .code(error.status)
    .headers({ 'x-request-id': request.id, ...errorHeaders(error) })
    .send(request.url.startsWith('/v1') ? openAiError(error) : apiErrorBody(error))
}

/** One line an answer, of allow-listed fields: the route, never the URL with its query. */
export function logAnswers(scope: FastifyInstance, log: Logger): void {
  scope.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
  })
  scope.addHook('onError', async (request, _reply, thrown) => {
    const error = toBrokerError(thrown)
    const fields = { requestId: request.id, code: error.code, detail: error.detail }
    if (error.status >= 500) log.error({ ...fields, err: error.cause ?? error }, 'request failed')
  })
  scope.addHook('onResponse', async (request, reply) => {
    log.info(
      {
        requestId: request.id,
        method: request.method,
        route: request.routeOptions.url,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        ip: request.ip,
      },
      'request',
    )
  })
}
