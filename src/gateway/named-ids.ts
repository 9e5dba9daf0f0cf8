/**
 * The ids that a call names of what was made before: in its path, in JSON by the names that OpenAI's and Anthropic's
 * APIs have for them, and in the fields of a form; and a fine-tuned model.
 */
import { JsonMembers, MemberPaths } from '../usage/json-members.ts'
import type { ClientCall } from './client-call.ts'
import { formFields } from './form-scan.ts'
import { decoded } from './target.ts'

export interface Named {
  readonly ids: readonly string[]
  /** What JSON says of `store`. */
  readonly store: boolean | undefined
  /** It may run code or speak: then more than its answer is made, and named deep inside of that. */
  readonly makesMore: boolean
}

/** More of them in one call are not looked at. */
const MAX_IDS = 64
const MAX_LENGTH = 200

const NAMES = [
  ...['previous_response_id', 'conversation', 'file_id', 'file_ids', 'input_file_id', 'part_ids'],
  ...['batch', 'batch_id', 'training_file', 'validation_file', 'vector_store_id', 'vector_store_ids'],
  ...['container', 'container_id', 'assistant_id', 'thread_id', 'video', 'voice', 'skill_id', 'eval_id'],
  ...['audio', 'consent', 'comparison_response_id'],
]
/** Of agents and their sessions. In other calls they are words of people's own, and each would cost a look-up. */
const NAMES_OF_AGENTS = [
  ...['agent', 'agent_id', 'session_id', 'session_ids', 'environment_id', 'environment_template_id'],
  ...['deployment_id', 'memory_store_id', 'vault_ids', 'credential_id', 'user_profile_id', 'tunnel_id'],
]
const OF_AGENTS =
  /^\/v1\/(?:agents|sessions|environments|deployments|dreams|memory_stores|vaults|live)(?:[/?]|$)/
const FIELDS: ReadonlySet<string> = new Set(NAMES)
/** Words of paths, which are no ids. Another word costs a look-up. */
const WORDS: ReadonlySet<string> = new Set(
  (
    'chat completions embeddings messages batches count_tokens responses input_tokens compact cancel input_items ' +
    'conversations items files content uploads parts complete vector_stores file_batches search containers ' +
    'fine_tuning jobs checkpoints events pause resume alpha graders run validate assistants threads runs steps ' +
    'submit_tool_outputs videos remix edits extensions characters evals output_items skills versions audio speech ' +
    'transcriptions translations voices voice_consents images generations variations moderations realtime calls ' +
    'sessions client_secrets transcription_sessions results rerank models accept reject refer hangup fork attach ' +
    'automations invocations environments templates artifacts subagents turns traces resources stream archive ' +
    'unpause work poll stats ack heartbeat stop memories memory_versions redact credentials mcp_oauth_validate ' +
    'permissions certificates reveal_token rotate_token'
  ).split(' '),
)

export function namedIn({ request: { raw }, body, target }: ClientCall): Named {
  const ids = new Set<string>()
  let [store, makesMore]: [boolean | undefined, boolean] = [undefined, false]
  readPath(target, ids)
  const { readable, scan } = body
  if (typeof scan !== 'string' && scan.text.startsWith(TUNED)) ids.add(scan.text)
  const contentType = raw.headers['content-type'] ?? ''
  if (readable && FORM.test(contentType)) readForm(readable, contentType, ids)
  else if (readable) {
    const json = readable.toString('latin1')
    store = readJson(json, ids, OF_AGENTS.test(target) ? MEMBER_OF_AGENTS : MEMBER)
    makesMore = MAKES_MORE.test(json)
  }
  return { ids: [...ids].slice(0, MAX_IDS), store, makesMore }
}

/** A tool that runs code in a container, or an answer that is spoken. */
const MAKES_MORE = /(?<!\\)"(?:code_(?:interpreter|execution)|container|modalities)/

/** Those of a handshake: in its path, and a call's that it joins (`?call_id=`). */
export function idsInTarget(target: string): readonly string[] {
  const ids = new Set<string>()
  readPath(target, ids)
  const [, written] = /[?&]call_id=([^&#]*)/.exec(target) ?? []
  if (written !== undefined) add(decoded(written), ids)
  return [...ids].slice(0, MAX_IDS)
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
const MEMBER = memberOf(NAMES)
const MEMBER_OF_AGENTS = memberOf([...NAMES, ...NAMES_OF_AGENTS])
const TEXT = /"([^"\\]{1,200})"/y
const NEXT = /\s*,\s*/y
const BOOLEAN = /true|false/y
/** Of an object, so much is looked at. */
const MAX_OBJECT = 8 * 1024
const ID = new MemberPaths('id')

function memberOf(names: readonly string[]): RegExp {
  return new RegExp(`(?<!\\\\)"(store|${names.join('|')})"\\s*:\\s*`, 'g')
}

/**
 * Without parsing it, for a conversation may be long, and stands in each call anew. @returns what it says of `store`
 * @param json as latin1: ids are ASCII
 */
function readJson(json: string, ids: Set<string>, pattern = MEMBER): boolean | undefined {
  let store: boolean | undefined
  pattern.lastIndex = 0
  for (let member = pattern.exec(json); member && ids.size < MAX_IDS; member = pattern.exec(json)) {
    const at = pattern.lastIndex
    if (member[1] === 'store') store ??= booleanAt(json, at)
    else if (json[at] === '"') add(textAt(json, at), ids)
    else if (json[at] === '[') readList(json, at, ids)
    else if (json[at] === '{') readObject(json, at, ids)
  }
  return store
}

/** `{"id": "conv_1"}`, wherever in it the id stands. */
function readObject(json: string, at: number, ids: Set<string>): void {
  const members = new JsonMembers(ID, (_, id) => typeof id === 'string' && add(id, ids))
  members.push(json.slice(at, at + MAX_OBJECT))
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
