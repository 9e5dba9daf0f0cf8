/**
 * The ids that a call names of what was made before: in its path, in JSON by the names that OpenAI's and Anthropic's
 * APIs have for them, and in the fields of a form; and a fine-tuned model.
 */
import type { ClientCall } from './client-call.ts'
import { formFields } from './form-scan.ts'
import { decoded } from './target.ts'

export interface Named {
  readonly ids: readonly string[]
  /** What JSON says of `store`. */
  readonly store: boolean | undefined
}

/** More of them in one call are not looked at. */
const MAX_IDS = 64
const MAX_LENGTH = 200

const NAMES = [
  ...['previous_response_id', 'conversation', 'file_id', 'file_ids', 'input_file_id', 'part_ids'],
  ...['batch', 'batch_id', 'training_file', 'validation_file', 'vector_store_id', 'vector_store_ids'],
  ...['container', 'container_id', 'assistant_id', 'thread_id', 'video', 'voice', 'skill_id', 'eval_id'],
]
const FIELDS: ReadonlySet<string> = new Set(NAMES)
/** Words of paths, which are no ids. Another word costs a look-up. */
const WORDS: ReadonlySet<string> = new Set(
  (
    'chat completions embeddings messages batches count_tokens responses input_tokens compact cancel input_items ' +
    'conversations items files content uploads parts complete vector_stores file_batches search containers ' +
    'fine_tuning jobs checkpoints events pause resume alpha graders run validate assistants threads runs steps ' +
    'submit_tool_outputs videos remix edits extensions characters evals output_items skills versions audio speech ' +
    'transcriptions translations voices voice_consents images generations variations moderations realtime calls ' +
    'sessions client_secrets transcription_sessions results rerank models'
  ).split(' '),
)

export function namedIn({ request: { raw }, body, target }: ClientCall): Named {
  const ids = new Set<string>()
  let store: boolean | undefined
  readPath(target, ids)
  const { readable, scan } = body
  if (typeof scan !== 'string' && scan.text.startsWith(TUNED)) ids.add(scan.text)
  const contentType = raw.headers['content-type'] ?? ''
  if (readable && FORM.test(contentType)) readForm(readable, contentType, ids)
  else if (readable) store = readJson(readable.toString('latin1'), ids)
  return { ids: [...ids].slice(0, MAX_IDS), store }
}

/** Those of JSON that is no call's body. @param json as latin1 */
export function idsIn(json: string): readonly string[] {
  const ids = new Set<string>()
  readJson(json, ids)
  return [...ids].slice(0, MAX_IDS)
}

/** A model that one account had made. */
const TUNED = 'ft:'
const FORM = /^(?:multipart\/form-data|application\/x-www-form-urlencoded)\b/i

function readPath(target: string, ids: Set<string>): void {
  const [path = ''] = target.split('?', 1)
  // Behind `/v1` and the first word.
  for (const written of path.split('/').slice(3)) {
    if (WORDS.has(written)) continue
    const segment = written.includes('%') ? decoded(written) : written
    add(segment, ids)
  }
}

function add(text: string | undefined, ids: Set<string>): void {
  if (text !== undefined && text !== '' && text.length <= MAX_LENGTH) ids.add(text)
}

/** Inside of a text a quote is escaped, so that one without a backslash before it and with a colon behind is a name's. */
const MEMBER = new RegExp(`(?<!\\\\)"(store|${NAMES.join('|')})"\\s*:\\s*`, 'g')
const TEXT = /"([^"\\]{1,200})"/y
const NEXT = /\s*,\s*/y
const BOOLEAN = /true|false/y
/** `{"id": "conv_1"}`, which has no other object before its id. */
const OBJECT = /\{[^{}[\]]{0,1000}?"id"\s*:\s*/y

/**
 * Without parsing it, for a conversation may be long, and stands in each call anew. @returns what it says of `store`
 * @param json as latin1: ids are ASCII
 */
function readJson(json: string, ids: Set<string>): boolean | undefined {
  let store: boolean | undefined
  MEMBER.lastIndex = 0
  for (let member = MEMBER.exec(json); member && ids.size < MAX_IDS; member = MEMBER.exec(json)) {
    const at = MEMBER.lastIndex
    if (member[1] === 'store') store ??= booleanAt(json, at)
    else if (json[at] === '"') add(textAt(json, at), ids)
    else if (json[at] === '[') readList(json, at, ids)
    else if (json[at] === '{' && matchAt(OBJECT, json, at)) add(textAt(json, OBJECT.lastIndex), ids)
  }
  return store
}

function booleanAt(json: string, at: number): boolean | undefined {
  const found = matchAt(BOOLEAN, json, at)?.[0]
  return found === undefined ? undefined : found === 'true'
}

function readList(json: string, from: number, ids: Set<string>): void {
  let at = skipSpace(json, from + 1)
  for (let count = 0; count < MAX_IDS; count += 1) {
    const text = textAt(json, at)
    if (text === undefined) return
    add(text, ids)
    if (!matchAt(NEXT, json, TEXT.lastIndex)) return
    at = NEXT.lastIndex
  }
}

function skipSpace(json: string, from: number): number {
  let at = from
  while (json.charCodeAt(at) <= 0x20) at += 1
  return at
}

function textAt(json: string, at: number): string | undefined {
  return matchAt(TEXT, json, at)?.[1]
}

function matchAt(pattern: RegExp, json: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(json)
}

/** `file_ids[]`, as some write lists. */
function readForm(body: Buffer, contentType: string, ids: Set<string>): void {
  for (const field of formFields(body, contentType)) {
    const [name = ''] = field.name.split('[', 1)
    if (!field.isFile && FIELDS.has(name)) add(field.text, ids)
    if (ids.size >= MAX_IDS) return
  }
}
