/**
 * A model endpoint that speaks OpenAI's API and Anthropic's Messages. Every call needs a live access token of the
 * authorization server.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Clock, SECOND } from '../base/clock.ts'
import { ApiError, answerApiErrors, isOfAnthropic } from './api-error.ts'
import { acceptBodies, readCall, type Upload } from './body.ts'
import { chatCompletion, chatCompletionEvents, textCompletion, textCompletionEvents } from './chat-answer.ts'
import { CHAT_REQUEST, COMPLETION_REQUEST } from './completion.ts'
import type { Counts } from './counts.ts'
import { EMBEDDING_REQUEST, embeddings } from './embedding.ts'
import { DONE, sendEvents } from './event-stream.ts'
import type { Families } from './families.ts'
import { type Faults, injectFaults, wasCut } from './faults.ts'
import { addFiles } from './files.ts'
import { COUNT_REQUEST, countTokens, MESSAGES_REQUEST, message, messageEvents } from './messages.ts'
import { RealtimeTalk } from './realtime-talk.ts'
import { addResponses } from './response-routes.ts'
import { ResponseStore } from './response-store.ts'
import { ResponseTalk } from './response-talk.ts'
import { addSockets } from './sockets.ts'

export interface UpstreamParts {
  readonly families: Families
  readonly faults: Faults
  readonly counts: Counts
  readonly clock: Clock
}

const CHAT_MODEL = 'sandbox-model'
const EMBEDDING_MODEL = 'sandbox-embedding'
const MODELS = [CHAT_MODEL, EMBEDDING_MODEL]

export function addUpstream(scope: FastifyInstance, parts: UpstreamParts): void {
  const created = () => Math.floor(parts.clock() / SECOND)
  acceptBodies(scope)
  answerApiErrors(scope)
  scope.addHook('preHandler', async (request, reply) => record(request, reply, parts.counts))
  injectFaults(scope, parts.faults, () => 'upstream')
  scope.addHook('preHandler', async (request) => checkAccessToken(request, parts))

  addModels(scope)
  addCompletions(scope, created)
  const responses = new ResponseStore(created)
  addResponses(scope, responses, CHAT_MODEL)
  addMessages(scope)
  addFiles(scope, created)
  addSockets(scope, (request) => admit(request, parts), {
    '/v1/responses': () => new ResponseTalk(responses, CHAT_MODEL),
    '/v1/realtime': (url) => new RealtimeTalk(url, CHAT_MODEL),
  })
  // A route and not a not-found handler, so that the hooks above hold for it.
  scope.all('/*', async () => {
    throw new ApiError('unknown_url')
  })
}

function addModels(scope: FastifyInstance): void {
  const shown = (id: string, request: FastifyRequest) =>
    isOfAnthropic(request)
      ? { type: 'model', id, display_name: id, created_at: new Date(0).toISOString() }
      : { id, object: 'model', created: 0, owned_by: 'sandbox' }

  scope.get('/models', async (request) => {
    const data = MODELS.map((id) => shown(id, request))
    return isOfAnthropic(request)
      ? { data, has_more: false, first_id: MODELS[0], last_id: MODELS.at(-1) }
      : { object: 'list', data }
  })
  scope.get<{ Params: { id: string } }>('/models/:id', async (request) => {
    const { id } = request.params
    if (!MODELS.includes(id)) throw new ApiError('model_not_found', 'model')
    return shown(id, request)
  })
}

function addCompletions(scope: FastifyInstance, created: () => number): void {
  scope.post('/chat/completions', async (request, reply) => {
    const call = readCall(request.body, CHAT_REQUEST, CHAT_MODEL)
    checkStreamOptions(call)
    return call.stream
      ? sendEvents(reply, chatCompletionEvents(call, created()), DONE)
      : chatCompletion(call, created())
  })
  scope.post('/completions', async (request, reply) => {
    const call = readCall(request.body, COMPLETION_REQUEST, CHAT_MODEL)
    checkStreamOptions(call)
    return call.stream
      ? sendEvents(reply, textCompletionEvents(call, created()), DONE)
      : textCompletion(call, created())
  })
  scope.post('/embeddings', async (request) =>
    embeddings(readCall(request.body, EMBEDDING_REQUEST, EMBEDDING_MODEL)),
  )
}

function addMessages(scope: FastifyInstance): void {
  scope.post('/messages', async ({ body }, reply) => {
    const call = readCall(body, MESSAGES_REQUEST, CHAT_MODEL)
    return call.stream ? sendEvents(reply, messageEvents(call)) : message(call)
  })
  scope.post('/messages/count_tokens', async ({ body }) =>
    countTokens(readCall(body, COUNT_REQUEST, CHAT_MODEL)),
  )
}

function record(request: FastifyRequest, reply: FastifyReply, counts: Counts): void {
  const body = request.body as Buffer | Upload | undefined
  counts.upstreamCalls += 1
  counts.lastUpstreamRequest = {
    method: request.method,
    url: request.url,
    headers: request.headers,
    bodyBytes: Buffer.isBuffer(body) ? body.length : (body?.bytes ?? 0),
  }
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished && !wasCut(reply)) counts.upstreamCancelled += 1
  })
}

/** Of a WebSocket, which is a call as any other. @throws ApiError invalid_api_key */
function admit(request: IncomingMessage, parts: UpstreamParts): void {
  const { method = '', url = '', headers } = request
  parts.counts.upstreamCalls += 1
  parts.counts.lastUpstreamRequest = { method, url, headers, bodyBytes: 0 }
  checkAccessToken(request, parts)
}

/** RFC 6750 §2.1. @throws ApiError invalid_api_key */
function checkAccessToken({ headers }: Pick<FastifyRequest, 'headers'>, parts: UpstreamParts): void {
  const accessToken = /^Bearer ([\x21-\x7e]+)$/i.exec(headers.authorization ?? '')?.[1]
  if (accessToken !== undefined && parts.families.isLive(accessToken)) return
  parts.counts.unauthorized += 1
  throw new ApiError('invalid_api_key')
}

function checkStreamOptions(call: { stream?: boolean | null; stream_options?: object | null }): void {
  if (call.stream_options && !call.stream) {
    throw new ApiError('invalid_body', 'stream_options', 'stream_options needs stream: true')
  }
}
