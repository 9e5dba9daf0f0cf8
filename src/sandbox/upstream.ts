/**
 * A model endpoint in OpenAI's shape. Every call needs a live access token of the authorization server.
 */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Compile } from 'typebox/compile'
import { type Clock, SECOND } from '../base/clock.ts'
import { chatCompletion, chatCompletionEvents, textCompletion, textCompletionEvents } from './chat-answer.ts'
import { CHAT_REQUEST, COMPLETION_REQUEST } from './completion.ts'
import type { Counts } from './counts.ts'
import { randomText } from './digest.ts'
import { EMBEDDING_REQUEST, embeddings } from './embedding.ts'
import { eventStream } from './event-stream.ts'
import type { Families } from './families.ts'
import { type Faults, injectFaults, wasCut } from './faults.ts'
import { answerOpenAIErrors, OpenAIError } from './openai-error.ts'

export interface UpstreamParts {
  readonly families: Families
  readonly faults: Faults
  readonly counts: Counts
  readonly clock: Clock
}

const CHAT_MODEL = 'sandbox-model'
const EMBEDDING_MODEL = 'sandbox-embedding'

const CHAT = Compile(CHAT_REQUEST)
const COMPLETION = Compile(COMPLETION_REQUEST)
const EMBEDDING = Compile(EMBEDDING_REQUEST)

export function addUpstream(scope: FastifyInstance, parts: UpstreamParts): void {
  const created = () => Math.floor(parts.clock() / SECOND)
  acceptBodies(scope)
  answerOpenAIErrors(scope)
  scope.addHook('preHandler', async (request, reply) => record(request, reply, parts.counts))
  injectFaults(scope, parts.faults, () => 'upstream')
  scope.addHook('preHandler', async (request) => checkAccessToken(request, parts))

  scope.get('/models', async () => ({
    object: 'list',
    data: [CHAT_MODEL, EMBEDDING_MODEL].map((id) => ({
      id,
      object: 'model',
      created: 0,
      owned_by: 'sandbox',
    })),
  }))
  scope.post('/chat/completions', async (request, reply) => {
    const call = readCall(request.body, CHAT, CHAT_MODEL)
    checkStreamOptions(call)
    return call.stream
      ? sendEvents(reply, chatCompletionEvents(call, created()))
      : chatCompletion(call, created())
  })
  scope.post('/completions', async (request, reply) => {
    const call = readCall(request.body, COMPLETION, CHAT_MODEL)
    checkStreamOptions(call)
    return call.stream
      ? sendEvents(reply, textCompletionEvents(call, created()))
      : textCompletion(call, created())
  })
  scope.post('/embeddings', async (request) => embeddings(readCall(request.body, EMBEDDING, EMBEDDING_MODEL)))
  scope.post('/audio/transcriptions', async ({ body }) => {
    const upload = uploadOf(body)
    return { text: `The sandbox heard ${upload.bytes} bytes.`, ...upload }
  })
  scope.post('/files', async ({ body }) => ({
    id: `file-${randomText(12)}`,
    object: 'file',
    created_at: created(),
    filename: 'upload',
    purpose: 'user_data',
    status: 'processed',
    ...uploadOf(body),
  }))
  // A route and not a not-found handler, so that the hooks above hold for it.
  scope.all('/*', async () => {
    throw new OpenAIError('unknown_url')
  })
}

/** What is kept of a body that is not JSON. */
interface Upload {
  readonly bytes: number
  readonly sha256: string
}

/** JSON as it came, for the handlers to read; anything else is weighed while it streams by. */
function acceptBodies(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  )
  scope.addContentTypeParser('*', (_request: FastifyRequest, payload: IncomingMessage) => weigh(payload))
}

async function weigh(chunks: AsyncIterable<Buffer>): Promise<Upload> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of chunks) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, sha256: hash.digest('hex') }
}

function uploadOf(body: unknown): Upload {
  if (body === undefined || Buffer.isBuffer(body)) {
    throw new OpenAIError('invalid_body', null, 'send a file as multipart/form-data')
  }
  return body as Upload
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

/** RFC 6750 §2.1. */
function checkAccessToken(request: FastifyRequest, { families, counts }: UpstreamParts): void {
  const accessToken = /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1]
  if (accessToken !== undefined && families.isLive(accessToken)) return
  counts.unauthorized += 1
  throw new OpenAIError('invalid_api_key')
}

/** What we use of a compiled schema. */
interface Schema<T> {
  Check(value: unknown): value is T
  Errors(value: unknown): { readonly instancePath: string; readonly message: string }[]
}

/** @throws OpenAIError invalid_body | model_not_found */
function readCall<T extends { model: string }>(body: unknown, schema: Schema<T>, model: string): T {
  const call = Buffer.isBuffer(body) ? parse(body) : undefined
  if (call === undefined) throw new OpenAIError('invalid_body', null, 'it is not JSON')
  if (!schema.Check(call)) {
    const [problem] = schema.Errors(call)
    throw new OpenAIError('invalid_body', problem?.instancePath.split('/')[1] ?? null, problem?.message)
  }
  if (call.model !== model) throw new OpenAIError('model_not_found', 'model')
  return call
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

function checkStreamOptions(call: { stream?: boolean | null; stream_options?: object | null }): void {
  if (call.stream_options && !call.stream) {
    throw new OpenAIError('invalid_body', 'stream_options', 'stream_options needs stream: true')
  }
}

function sendEvents(reply: FastifyReply, events: readonly object[]): FastifyReply {
  return reply
    .type('text/event-stream; charset=utf-8')
    .header('cache-control', 'no-cache')
    .send(eventStream(events))
}
