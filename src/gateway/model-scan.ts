/**
 * Finds the top-level `"model"` of a JSON body in its bytes, without parsing the body.
 *
 * Stops at the member, which SDKs write first or nearly so. With `strict` it reads on to the end and refuses a
 * second one: JSON parsers take the last, so two of them could name one model to us and another to upstream. A
 * name that differs in case counts as a second one.
 */

export interface FoundText {
  readonly text: string
  /** Offsets of the string with its quotes, to write another name in its place. */
  readonly start: number
  readonly end: number
  /** How it is written there. */
  readonly as: 'json' | 'plain' | 'urlencoded'
}

/** 'unread': what the body holds could not be read, though upstream may well read it. */
export type ModelScan = FoundText | 'none' | 'ambiguous' | 'unread'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COLON = 0x3a
const COMMA = 0x2c
const MAX_TEXT_BYTES = 1_024

const MODEL = 'model'
const QUOTED_MODEL = Buffer.from('"model"')

export function findModel(body: Buffer, strict: boolean): ModelScan {
  let at = skipSpace(body, hasByteOrderMark(body) ? 3 : 0)
  if (body[at] !== OPEN_BRACE) return 'none'
  at += 1
  let depth = 1
  let expectsName = true
  let found: FoundText | 'none' = 'none'
  while (at < body.length && depth > 0) {
    const byte = body[at]
    if (byte === QUOTE) {
      const end = endOfString(body, at)
      if (end === -1) return found
      const name = depth === 1 && expectsName ? readName(body, at, end) : 'other'
      if (strict && name === 'alike') return 'ambiguous'
      if (name === 'wanted') {
        if (found !== 'none') return 'ambiguous'
        found = readValue(body, end)
        if (!strict) return found
      }
      expectsName = false
      at = end
      continue
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1
    else if (byte === COMMA && depth === 1) expectsName = true
    at += 1
  }
  return found
}

const WRITE = {
  json: (model: string) => JSON.stringify(model),
  plain: (model: string) => model,
  urlencoded: encodeURIComponent,
}

/** The body with another model name in the place of the one found. */
export function replaceModel(body: Buffer, found: FoundText, model: string): Buffer {
  return Buffer.concat([
    body.subarray(0, found.start),
    Buffer.from(WRITE[found.as](model)),
    body.subarray(found.end),
  ])
}

/** `"mod\u0065l"` is the same name to every parser, `"MODEL"` to some (Go's take names in any case). */
function readName(body: Buffer, start: number, end: number): 'wanted' | 'alike' | 'other' {
  const isPlain = end - start === QUOTED_MODEL.length
  if (isPlain && body.compare(QUOTED_MODEL, 0, QUOTED_MODEL.length, start, end) === 0) return 'wanted'
  if (!isPlain && (end - start > 64 || body.subarray(start, end).indexOf(BACKSLASH) === -1)) return 'other'
  const decoded = decode(body, start, end)
  if (decoded === MODEL) return 'wanted'
  return decoded?.toLowerCase() === MODEL ? 'alike' : 'other'
}

function readValue(body: Buffer, afterName: number): FoundText | 'none' {
  const colon = skipSpace(body, afterName)
  if (body[colon] !== COLON) return 'none'
  const start = skipSpace(body, colon + 1)
  if (body[start] !== QUOTE) return 'none'
  const end = endOfString(body, start)
  if (end === -1 || end - start > MAX_TEXT_BYTES) return 'none'
  const text = decode(body, start, end)
  return text === undefined ? 'none' : { text, start, end, as: 'json' }
}

/** Servers skip it, though RFC 8259 §8.1 would not have it sent. */
function hasByteOrderMark(body: Buffer): boolean {
  return body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf
}

/** Without anything that JSON would have to read, as names of models are. */
const PLAIN = /^[\w.:/@ -]*$/

function decode(body: Buffer, start: number, end: number): string | undefined {
  const text = body.toString('latin1', start + 1, end - 1)
  if (PLAIN.test(text)) return text
  try {
    return JSON.parse(body.toString('utf8', start, end)) as string
  } catch {
    return undefined
  }
}

/** Offset behind the closing quote, or -1. */
function endOfString(body: Buffer, start: number): number {
  let quote = body.indexOf(QUOTE, start + 1)
  while (quote !== -1) {
    let slashes = 0
    while (body[quote - 1 - slashes] === BACKSLASH) slashes += 1
    if (slashes % 2 === 0) return quote + 1
    quote = body.indexOf(QUOTE, quote + 1)
  }
  return -1
}

function skipSpace(body: Buffer, from: number): number {
  let at = from
  while (body[at] === 0x20 || body[at] === 0x0a || body[at] === 0x0d || body[at] === 0x09) at += 1
  return at
}
