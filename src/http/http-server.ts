/**
 * The HTTP server without its routes: request ids, validation, and how errors that no route caught look.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { TSchema } from 'typebox'
import { Convert } from 'typebox/value'
import { SECOND } from '../base/clock.ts'
import { descriptorLimit } from '../base/descriptors.ts'
import { apiErrorBody, BrokerError } from '../base/errors.ts'
import { languageFor } from '../base/language.ts'
import type { Logger } from '../base/log.ts'
import { firstMistake } from '../base/mistake.ts'
import { STATUS_CODES } from '../base/node-http.ts'
import { toBrokerError } from '../base/thrown.ts'
import { errorBody, errorHeaders, openAiError } from '../gateway/api-error.ts'
import { withoutBase } from '../gateway/named-config.ts'
import { hasUnreadBody } from '../gateway/request-body.ts'
import type { Config } from '../settings/config.ts'
import { attendClients, ClientRequest } from './client-request.ts'
import { type ClientSocket, Connections, connectionCap, isBusy } from './connections.ts'
import { isBareBaseUrl, isForSdk, missedBaseUrl } from './missed-base-url.ts'
import { headProblem, originForm } from './request-head.ts'
import { watchBodies } from './slow-bodies.ts'

const KEEP_ALIVE_MS = 72_000
/** A head that is not here by then is not waited for. */
const HEAD_MS = 30 * SECOND
const LOOK_EVERY_MS = 2 * SECOND

export interface Http {
  readonly fastify: FastifyInstance
  readonly connections: Connections
}

export function createHttp(config: Config): Http {
  const boot = randomBytes(6).toString('base64url')
  let calls = 0
  const fastify = Fastify({
    logger: false,
    http: {
      IncomingMessage: ClientRequest,
      // Node would answer a missing Host itself, and go on to read what stands behind it.
      requireHostHeader: false,
      headersTimeout: HEAD_MS,
      connectionsCheckingInterval: LOOK_EVERY_MS,
    },
    clientErrorHandler: answerUnreadable,
    genReqId: () => `${boot}-${(calls++).toString(36)}`,
    requestIdHeader: false,
    rewriteUrl: pathOf(config.basePath),
    trustProxy: config.trustedProxies.length > 0 ? [...config.trustedProxies] : false,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: 0, // a 1 GiB upload may take its time; see slow-bodies.ts
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    frameworkErrors: (_error, request, reply) =>
      answerError(new BrokerError('malformed_request'), request, reply as FastifyReply),
  })
  refuseEarly(fastify, config)
  attendClients(fastify.server)
  const connections = new Connections(fastify.server, connectionCap(descriptorLimit()))
  watchBodies(fastify.server, connections)
  fastify.setValidatorCompiler(({ schema, httpPart }) => {
    return (value) => {
      const given =
        httpPart === 'body' ? value : fromText(schema as TSchema, withoutLanguage(value as object))
      const mistake = firstMistake(schema as TSchema, given)
      if (!mistake) return { value: given }
      const { path, message, chinese } = mistake
      const field = path.join('.')
      const reason = {
        english: `${field || `the ${httpPart}`} ${message}`,
        chinese: field ? `${field} ${chinese}` : chinese,
      }
      return { error: new BrokerError('invalid_request', { reason }) }
    }
  })
  // The schemas of answers are for types and for the API's description, and take nothing out of an answer.
  fastify.setSerializerCompiler(() => (answer) => JSON.stringify(answer))
  fastify.removeContentTypeParser('text/plain') // what any web page may send without asking
  const parseJson = fastify.getDefaultJsonParser('error', 'error')
  fastify.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else parseJson(request, body as string, done)
  })
  fastify.setErrorHandler(answerError)
  fastify.setNotFoundHandler((request, reply) => answerError(new BrokerError('not_found'), request, reply))
  return { fastify, connections }
}

/** Before every other hook: nobody reads on in a head that is malformed, nor looks at a body that goes nowhere. */
function refuseEarly(fastify: FastifyInstance, { publicUrl, basePath }: Config): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    const reason = reply.raw.shouldKeepAlive ? undefined : headProblem(request.raw) // looked at already
    if (reason !== undefined) return done(new BrokerError('malformed_request', { reason }))
    const isMissed = request.is404 ? isForSdk(request.url) : isBareBaseUrl(request.url)
    done(isMissed ? missedBaseUrl(request, publicUrl, basePath) : undefined)
  })
}

/** The path that routes are of: a config's base URL is told to the gateway otherwise. */
function pathOf(basePath: string): (request: IncomingMessage) => string {
  const ownPath = withoutPublic(basePath)
  return (request) => withoutBase(request, ownPath(originForm(request.url ?? '/')))
}

/** A proxy in front may have taken the path of PUBLIC_URL off, or not. */
function withoutPublic(basePath: string): (url: string) => string {
  return (url) => {
    if (basePath === '' || !url.startsWith(basePath)) return url
    const next = url[basePath.length]
    if (next === undefined || next === '?') return `/${url.slice(basePath.length)}`
    return next === '/' ? url.slice(basePath.length) : url
  }
}

/** Of the errors, which every call may choose: see {@link languageFor}. */
function withoutLanguage({ lang: _chosen, ...others }: { lang?: string }): object {
  return others
}

/** What a query or a path says, in the schema's types. A number must be the very number: 1.5 is not cut to 1. */
function fromText(schema: TSchema, said: object): object {
  const converted = Convert(schema, { ...said }) as Record<string, unknown>
  for (const [name, text] of Object.entries(said)) {
    if (typeof converted[name] === 'number' && converted[name] !== Number(text)) converted[name] = text
  }
  return converted
}

function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = toBrokerError(thrown)
  if (hasUnreadBody(request.raw)) reply.header('connection', 'close')
  const body = isForSdk(request.url) ? errorBody(error, request) : apiErrorBody(error, languageFor(request))
  reply.code(error.status).headers(errorHeaders(error, request)).send(body)
}

/** For a head that did not come or cannot be read: no route is known yet, so callers of either kind must understand. */
function answerUnreadable({ code }: NodeJS.ErrnoException, socket: ClientSocket): void {
  if (code === 'ECONNRESET' || socket.destroyed) return
  if (endsWithItsAnswer(socket)) return
  // Into an answer that has begun, or that comes before it, nothing may be written.
  if (!socket.writable || (isBusy(socket) && !isUnanswered(socket))) return void socket.destroy()
  const error = new BrokerError(code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'request_timeout' : 'malformed_request')
  const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : error.status
  const body = JSON.stringify({ ...openAiError(error), ...apiErrorBody(error, 'en') })
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-type: application/json\r\n`
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, () => socket.destroy())
}

/** A call that is whole, or refused already, is answered, and the connection ends with that. */
function endsWithItsAnswer(socket: ClientSocket): boolean {
  const { latestRequest: request, latestResponse: response } = socket
  if (!request || !response || request.upgrade || response.closed) return false
  if (!request.complete && headProblem(request) === undefined) return false
  response.shouldKeepAlive = false
  // What comes from now on is read by nobody.
  socket.removeAllListeners('data').on('data', () => {})
  response.once('close', () => socket.destroySoon())
  return true
}

/** It is the turn of the call whose body cannot be read, and nothing is written yet. */
function isUnanswered(socket: ClientSocket): boolean {
  const { latestRequest, latestResponse } = socket
  return latestRequest?.upgrade === false && latestResponse?.socket === socket && !latestResponse.headersSent
}

/** One line an answer, of allow-listed fields: the route, never the URL with its query. */
export function logAnswers(scope: FastifyInstance, log: Logger): void {
  scope.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff')
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
