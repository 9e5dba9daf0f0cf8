/**
 * A key that is limited to models makes only calls whose models can be read, all of them, and are allowed, all of them:
 * in body, query and path. What cannot be read is refused, for upstream may read it.
 */
import type { IncomingMessage } from 'node:http'
import type { ApiKey } from '../api-key/api-key.ts'
import { BrokerError } from '../base/errors.ts'
import { modelsInForm } from './form-models.ts'
import { FrameError, type FrameSink } from './frames.ts'
import { modelsInJson, type NamedModel, namesModels } from './json-models.ts'
import type { ClientBody } from './request-body.ts'
import { decoded } from './target.ts'

type Limited = Pick<ApiKey, 'models'>
type Call = Pick<IncomingMessage, 'method' | 'url' | 'headers'>

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json[\t ]*(?:;[\t ]*charset[\t ]*=[\t ]*"?utf-?8"?[\t ]*)?$/i
/** What the next segments of a path name. */
const MODEL_FOLDERS: ReadonlySet<string> = new Set([
  ...['models', 'model', 'engines', 'engine', 'deployments', 'deployment', 'tunedmodels'],
])
/** What may be asked of a model in the segments behind its name. */
const OPERATIONS: ReadonlySet<string> = new Set([
  ...[
    'chat',
    'completions',
    'messages',
    'responses',
    'embeddings',
    'images',
    'audio',
    'speech',
    'edits',
    'rerank',
  ],
  ...[
    'generations',
    'transcriptions',
    'translations',
    'moderations',
    'realtime',
    'count_tokens',
    'predictions',
  ],
  ...['invoke', 'invoke-with-response-stream', 'converse', 'converse-stream', 'predict', 'generate', 'infer'],
])
const VERB =
  /:(?:(?:stream)?generateContent|countTokens|(?:batch)?embedContents?|(?:stream)?(?:raw)?predict)$/i
/** Of a message of a realtime connection. */
const MAX_MESSAGE_BYTES = 1024 * 1024

/**
 * The model in `body.scan` alone is not judged here: it may go up under another name, and routing judges both.
 * @throws BrokerError model_not_found
 */
export function assertWithinModels(key: Limited, call: Call, body: ClientBody): void {
  if (!key.models) return
  if (call.method === 'DELETE') throw refused('it may not delete')
  const others = modelsInTarget(call.url ?? '')
  const inBody = modelsInBody(call, body)
  if (!others || !inBody) throw refused('the models of the request cannot be read')
  const judged = typeof body.scan === 'string' ? undefined : body.scan.start
  const named = [...others, ...inBody.filter(({ start }) => start !== judged)]
  assertAllowed(key.models, named)
  if (judged === undefined && !named.some(({ answers }) => answers)) throw refused('the request names none')
}

/** The same for a handshake, which has no body. @param asked the one model that routing judges */
export function assertTargetWithinModels(key: Limited, target: string, asked: string | undefined): void {
  if (!key.models) return
  const named = modelsInTarget(target)
  if (!named) throw refused('the models of the request cannot be read')
  const isJudged = ({ text, start }: NamedModel) => start === IN_QUERY && text === asked
  assertAllowed(
    key.models,
    named.filter((name) => !isJudged(name)),
  )
  if (named.length === 0) throw refused('the request names none')
}

/** The same for the messages of a realtime connection, behind which `sink` looks too. */
export function withinModels({ models }: Limited, sink: FrameSink): FrameSink {
  if (!models) return sink
  let pieces: string[] = []
  let size = 0
  return {
    wantsMore: true,
    onData(text) {
      size += text.length
      if (size > MAX_MESSAGE_BYTES)
        throw new FrameError(1009, 'a key limited to models sends at most 1 MiB at once')
      pieces.push(text)
      if (sink.wantsMore) sink.onData(text)
    },
    onMessageEnd() {
      const named = modelsInJson(Buffer.from(pieces.join(''), 'latin1'))
      pieces = []
      size = 0
      if (!named?.every(({ text }) => models.includes(text)))
        throw new FrameError(1008, 'The API key is limited to other models')
      sink.onMessageEnd()
    },
  }
}

function modelsInBody({ headers }: Call, { sent, readable }: ClientBody): readonly NamedModel[] | undefined {
  if (sent === null) return []
  if (!Buffer.isBuffer(sent) || !readable) return undefined
  // Were the coding ignored, this would be JSON.
  if (readable !== sent && /^\s*[{[]/.test(sent.toString('latin1', 0, 64))) return undefined
  const contentType = headers['content-type'] ?? ''
  return JSON_TYPE.test(contentType) ? modelsInJson(readable) : modelsInForm(readable, contentType)
}

/** Stands for an offset, where there is none. */
const IN_QUERY = -1
const IN_PATH = -2

function modelsInTarget(target: string): readonly NamedModel[] | undefined {
  const question = target.indexOf('?')
  const inPath = modelsInPath(question === -1 ? target : target.slice(0, question))
  const inQuery: NamedModel[] = []
  // Some separate with semicolons.
  for (const part of question === -1 ? [] : target.slice(question + 1).split(/[&;]/)) {
    for (const [name, text] of new URLSearchParams(part))
      if (namesModels(name)) inQuery.push({ text, start: IN_QUERY, answers: true })
  }
  return inPath && [...inPath, ...inQuery]
}

/** `/v1/models/X`, `/v1/engines/X/completions`, `/v1/openai/deployments/X/chat/completions`, `/v1/models/X:generate`. */
function modelsInPath(path: string): readonly NamedModel[] | undefined {
  const segments: string[] = []
  for (const written of path.split('/').slice(2)) {
    const segment = decoded(written)
    // Decoded twice by some; and a batch's models stand in a file.
    if (segment === undefined || segment.includes('%')) return undefined
    segments.push(segment)
  }
  if (plain(segments[0]) === 'batches') return undefined
  const folder = segments.findIndex((segment) => MODEL_FOLDERS.has(plain(segment)))
  const named = segments.slice(folder + 1)
  if (folder === -1 || named.join('') === '') return []
  while (named.length > 1 && OPERATIONS.has(named.at(-1) ?? '')) named.pop()
  const text = named.join('/').replace(VERB, '')
  return [{ text, start: IN_PATH, answers: true }]
}

/** Without path parameters (`models;x=y`), which some servers take off. */
function plain(segment = ''): string {
  const [name = ''] = segment.toLowerCase().split(';')
  return name.trim()
}

function assertAllowed(models: readonly string[], named: readonly NamedModel[]): void {
  const other = named.find(({ text }) => !models.includes(text))
  if (other) throw refused(`model "${other.text.slice(0, 100)}"`)
}

function refused(why: string): BrokerError {
  return new BrokerError('model_not_found', { reason: `this key is limited to models: ${why}` })
}
