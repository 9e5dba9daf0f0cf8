/**
 * Every place in a JSON body that may tell upstream which model to use: for keys that are limited to models, and so
 * rather one place too many. Members count wherever they stand but in what is said, not asked for: messages, tools'
 * parameters, metadata.
 */
import { isUtf8 } from 'node:buffer'

export interface NamedModel {
  readonly text: string
  /** Offset of what names it. */
  readonly start: number
  /** Else it is named beside the one that answers, as a tool's is. */
  readonly answers: boolean
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a

/** LiteLLM has fallbacks for several reasons, and takes a deployment for a model. */
const NAMES =
  /^(?:models?|model_?(?:id|name)|(?:[a-z]+_){0,3}fallbacks?(?:_dict)?|fallback_?models?|(?:deployment|engine)(?:_?(?:id|name))?)$/
const SAID: ReadonlySet<string> = new Set([
  ...['messages', 'input', 'contents', 'content', 'metadata', 'parameters', 'input_schema', 'schema'],
  ...['properties', 'variables', 'arguments'],
])
/** What is below these top-level members is a call of its own, or all there is of one. */
const WHOLE_CALLS: ReadonlySet<string> = new Set(['session', 'response', 'requests', 'payload'])

/** Of members, texts, objects and lists: who reads more of them holds everybody up. */
const MAX_PARTS = 100_000

/**
 * @returns undefined if it is not JSON in UTF-8, which upstream may read in another way than we do, or has more parts
 *   than anybody asks with
 */
export function modelsInJson(body: Buffer): readonly NamedModel[] | undefined {
  const at = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0
  if (!isUtf8(body)) return undefined
  const found: NamedModel[] = []
  const isRead = new Walk(body, (model) => found.push(model)).from(at)
  return isRead && isJson(body.toString('utf8', at)) ? found : undefined
}

/** Names that some servers take for `model`: in any case (Go: also with ſ for s), with brackets behind (PHP, qs). */
export function namesModels(member: string): boolean {
  const [plain = ''] = member.trim().split('[')
  return NAMES.test(plain.toUpperCase().toLowerCase())
}

/** Through what may turn out to be no JSON, in which what a parser would drop (a member named twice) counts. */
class Walk {
  readonly #body: Buffer
  readonly #find: (model: NamedModel) => void
  #depth = 0
  #section = ''
  /** What the value of the member under way is. */
  #value: 'other' | 'model' | 'said' = 'other'
  /** Depth of the member whose value holds models, or speech; all within is the same. */
  #insideFrom = 0
  #parts = 0

  constructor(body: Buffer, find: (model: NamedModel) => void) {
    this.#body = body
    this.#find = find
  }

  /** @returns false if it has too many parts, or a text that does not end or cannot be read */
  from(start: number): boolean {
    const body = this.#body
    for (let at = start; at < body.length; at += 1) {
      const byte = body[at]
      if (byte === QUOTE || byte === 0x7b || byte === 0x5b) this.#parts += 1
      if (this.#parts > MAX_PARTS) return false
      if (byte === QUOTE) {
        const end = endOfText(body, at)
        if (end === undefined || !this.#readText(at, end)) return false
        at = end
      } else if (byte === 0x7b || byte === 0x5b) this.#open()
      else if (byte === 0x7d || byte === 0x5d) this.#close()
      else if (byte === 0x2c && this.#insideFrom === 0) this.#value = 'other'
    }
    return true
  }

  #open(): void {
    if (this.#value !== 'other' && this.#insideFrom === 0) this.#insideFrom = this.#depth + 1
    this.#depth += 1
  }

  #close(): void {
    if (this.#insideFrom === this.#depth) {
      this.#insideFrom = 0
      this.#value = 'other'
    }
    this.#depth -= 1
  }

  /** @returns whether it can be read */
  #readText(start: number, end: number): boolean {
    const body = this.#body
    let next = end + 1
    while (body[next] === 0x20 || body[next] === 0x0a || body[next] === 0x0d || body[next] === 0x09) next += 1
    const isName = body[next] === COLON
    const isWanted = isName ? this.#insideFrom === 0 : this.#value === 'model'
    const text = isWanted ? textOf(body, start, end) : ''
    if (text === undefined) return false
    if (isName && isWanted) this.#beginMember(text)
    else if (isWanted) this.#take(text, start)
    return true
  }

  #beginMember(name: string): void {
    if (this.#depth === 1) this.#section = name
    this.#value = namesModels(name) ? 'model' : SAID.has(name) ? 'said' : 'other'
  }

  #take(text: string, start: number): void {
    const depth = this.#insideFrom === 0 ? this.#depth : this.#insideFrom - 1
    this.#find({ text, start, answers: depth === 1 || WHOLE_CALLS.has(this.#section) })
  }
}

function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}

/** Offset of its last quote. */
function endOfText(body: Buffer, start: number): number | undefined {
  let end = start + 1
  while (end < body.length && body[end] !== QUOTE) end += body[end] === BACKSLASH ? 2 : 1
  return end < body.length ? end : undefined
}

function textOf(body: Buffer, start: number, end: number): string | undefined {
  try {
    return JSON.parse(body.toString('utf8', start, end + 1)) as string
  } catch {
    return undefined
  }
}
