/**
 * Finds the field `model` of a form in its bytes (RFC 7578, and the URL standard's urlencoded): of audio to transcribe,
 * of images to edit. Works on the beginning of a form as on a whole one.
 */
import type { FoundText, ModelScan } from './model-scan.ts'

interface Reading {
  /** Reads to the end and refuses a second model, and names that some servers take for it. */
  readonly strict: boolean
  /** Else more follows, and what is not whole is not there yet. */
  readonly isWhole: boolean
}

/** More of them than anybody has: reading on would hold everybody up. */
export const MAX_FORM_FIELDS = 1_000
const MAX_PART_HEAD_BYTES = 8 * 1024
const MAX_TEXT_BYTES = 1_024
const HEAD_END = Buffer.from('\r\n\r\n')

/** 'unread' if it is not what its type says, or breaks off. */
export function findModelInForm(body: Buffer, contentType: string, reading: Reading): ModelScan {
  const isMultipart = /^multipart\//i.test(contentType)
  const boundary = boundaryOf(contentType)
  // Nobody writes a preamble; to wait for the end of one would keep upstream waiting for what is no form at all.
  if (isMultipart && !reading.isWhole && !beginsWith(body, `--${boundary}`)) return 'unread'
  const fields = isMultipart ? multipartFields(body, boundary) : urlencodedFields(body, reading.isWhole)
  let found: FoundText | 'none' = 'none'
  let count = 0
  for (const field of fields) {
    count += 1
    if (count > MAX_FORM_FIELDS) return 'unread'
    if (field === 'broken') return reading.isWhole ? 'unread' : found
    const isModel = field.name === 'model' && !field.isFile
    if (!isModel && reading.strict && field.name.toLowerCase() === 'model') return 'ambiguous'
    if (!isModel) continue
    if (found !== 'none') return 'ambiguous'
    if (field.text === undefined) return 'unread'
    found = { text: field.text, start: field.start, end: field.end, as: field.as }
    if (!reading.strict) return found
  }
  return found
}

function beginsWith(body: Buffer, text: string): boolean {
  return text.startsWith(body.toString('latin1', 0, text.length))
}

/** Of a form that is whole, or its beginning. */
export function* formFields(body: Buffer, contentType: string): Generator<Field> {
  const isMultipart = /^multipart\//i.test(contentType)
  const fields = isMultipart ? multipartFields(body, boundaryOf(contentType)) : urlencodedFields(body, true)
  let count = 0
  for (const field of fields) {
    count += 1
    if (field === 'broken' || count > MAX_FORM_FIELDS) return
    yield field
  }
}

interface Field extends Pick<FoundText, 'start' | 'end' | 'as'> {
  readonly name: string
  readonly isFile: boolean
  /** Undefined where it is none that could be a model's name. */
  readonly text: string | undefined
}

function* multipartFields(body: Buffer, boundary: string | undefined): Generator<Field | 'broken'> {
  if (boundary === undefined) return yield 'broken'
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  // The first one may stand at the very beginning, without a line end in front of it.
  const isAtOnce = body.subarray(0, delimiter.length - 2).equals(delimiter.subarray(2))
  let at = isAtOnce ? -2 : body.indexOf(delimiter)
  for (;;) {
    if (at === -1) return yield 'broken'
    const lineStart = at + delimiter.length
    if (body.toString('latin1', lineStart, lineStart + 2) === '--') return
    // From the end of the boundary's line, which closes the head of a part that has none.
    const headStart = body.indexOf('\r\n', lineStart, 'latin1')
    const headEnd = headStart === -1 ? -1 : body.indexOf(HEAD_END, headStart)
    if (headEnd === -1 || headEnd - lineStart > MAX_PART_HEAD_BYTES) return yield 'broken'
    const start = headEnd + HEAD_END.length
    const end = body.indexOf(delimiter, start)
    if (end === -1) return yield 'broken'
    const { name = '', filename } = dispositionOf(body.toString('utf8', headStart, headEnd))
    const text = end - start <= MAX_TEXT_BYTES ? body.toString('utf8', start, end) : undefined
    yield { name, isFile: filename !== undefined, text, start, end, as: 'plain' }
    at = end
  }
}

/** The parameters of a part's Content-Disposition, by name. */
function dispositionOf(head: string): { readonly name?: string; readonly filename?: string } {
  const line = /\r\ncontent-disposition:([^\r]*)/i.exec(head)?.[1] ?? ''
  const parameters: Record<string, string> = {}
  for (const [, name = '', quoted, plain] of line.matchAll(PARAMETER)) {
    parameters[name.toLowerCase()] ??= quoted?.replace(/\\(["\\])/g, '$1') ?? plain ?? ''
  }
  return parameters
}

const PARAMETER = /;[\t ]*([\w-]+)\*?=(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))/g

function boundaryOf(contentType: string): string | undefined {
  const [, quoted, plain] = /;[\t ]*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(contentType) ?? []
  return quoted ?? plain
}

function* urlencodedFields(body: Buffer, isWhole: boolean): Generator<Field | 'broken'> {
  for (let from = 0; from < body.length; ) {
    const ampersand = body.indexOf(0x26, from)
    if (ampersand === -1 && !isWhole) return yield 'broken'
    const end = ampersand === -1 ? body.length : ampersand
    const equals = body.subarray(from, end).indexOf(0x3d) // in this field alone: there may be a million of them
    const nameEnd = equals === -1 ? end : from + equals
    const start = Math.min(nameEnd + 1, end)
    const name = nameEnd - from <= MAX_TEXT_BYTES ? decoded(body, from, nameEnd) : ''
    const text = end - start <= MAX_TEXT_BYTES ? decoded(body, start, end) : undefined
    yield { name: name ?? '', isFile: false, text, start, end, as: 'urlencoded' }
    from = end + 1
  }
}

function decoded(body: Buffer, from: number, to: number): string | undefined {
  try {
    return decodeURIComponent(body.toString('latin1', from, to).replaceAll('+', ' '))
  } catch {
    return undefined
  }
}
