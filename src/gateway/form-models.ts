/**
 * The models that a form names, for keys that are limited to models: forms as browsers and SDKs write them (RFC 7578),
 * and nothing that two parsers might take in two ways.
 */
import { MAX_FORM_FIELDS } from './form-scan.ts'
import { type NamedModel, namesModels } from './json-models.ts'
import { decoded } from './target.ts'

const MULTIPART =
  /^multipart\/form-data[\t ]*;[\t ]*boundary=(?:"([^"\\]{1,70})"|([\w'+.!#$%&*^`|~-]{1,70}))[\t ]*$/i
const URLENCODED = /^application\/x-www-form-urlencoded[\t ]*(?:;[\t ]*charset="?utf-8"?[\t ]*)?$/i
const DISPOSITION =
  /^content-disposition:[\t ]*form-data;[\t ]*name="([^"\\\p{Cc}]*)"(?:;[\t ]*filename="[^"\p{Cc}]*")?(?:;[\t ]*filename\*=[^\s;"]*)?$/iu
const OTHER_LINE =
  /^(?:content-type:[^\p{Cc}]*|content-length:[\t ]*\d+|content-transfer-encoding:[\t ]*(?:binary|[78]bit))$/iu
const MAX_HEAD_BYTES = 8 * 1024
const MAX_TEXT_BYTES = 1024

/** @returns undefined if it is written in another way than described */
export function modelsInForm(body: Buffer, contentType: string): readonly NamedModel[] | undefined {
  if (URLENCODED.test(contentType)) return modelsInUrlencoded(body)
  const [, quoted, plain] = MULTIPART.exec(contentType) ?? []
  const boundary = quoted ?? plain
  return boundary === undefined ? undefined : modelsInMultipart(body, `--${boundary}`)
}

function modelsInUrlencoded(body: Buffer): readonly NamedModel[] | undefined {
  const text = body.toString('latin1')
  // Some separate with semicolons; some read JSON whatever the type says.
  if (text.includes(';') || /^\s*[{["]/.test(text)) return undefined
  const found: NamedModel[] = []
  let start = 0
  const fields = text.split('&', MAX_FORM_FIELDS + 1)
  if (fields.length > MAX_FORM_FIELDS) return undefined
  for (const field of fields) {
    const [name = ''] = field.split('=', 1)
    const known = decoded(name.replaceAll('+', ' '))
    if (known === undefined) return undefined
    if (namesModels(known)) {
      const value = decoded(field.slice(name.length + 1).replaceAll('+', ' '))
      if (value === undefined) return undefined
      found.push({ text: value, start: start + Math.min(name.length + 1, field.length), answers: true })
    }
    start += field.length + 1
  }
  return found
}

function modelsInMultipart(body: Buffer, boundary: string): readonly NamedModel[] | undefined {
  const found: NamedModel[] = []
  let at = 0
  // Every occurrence of the boundary must be a delimiter: parsers that ask for less in front of it would see another.
  if (body.indexOf(boundary, 0, 'latin1') !== 0) return undefined
  for (let count = 0; count <= MAX_FORM_FIELDS; count += 1) {
    const lineEnd = at + boundary.length
    const behind = body.toString('latin1', lineEnd, lineEnd + 5)
    if (behind === '--' || behind === '--\r\n')
      return lineEnd + behind.length === body.length ? found : undefined
    if (!behind.startsWith('\r\n')) return undefined
    const next = body.indexOf(boundary, lineEnd, 'latin1')
    if (next === -1 || body.toString('latin1', next - 2, next) !== '\r\n') return undefined
    const part = body.subarray(lineEnd + 2, next - 2)
    const headEnd = part.indexOf('\r\n\r\n')
    if (headEnd === -1 || headEnd > MAX_HEAD_BYTES) return undefined
    const name = nameIn(part.toString('utf8', 0, headEnd))
    if (name === undefined) return undefined
    if (namesModels(name)) {
      const value = part.subarray(headEnd + 4)
      if (value.length > MAX_TEXT_BYTES) return undefined
      found.push({ text: value.toString('utf8'), start: lineEnd + 2 + headEnd + 4, answers: true })
    }
    at = next
  }
  return undefined
}

function nameIn(head: string): string | undefined {
  let name: string | undefined
  for (const line of head.split('\r\n')) {
    const disposition = DISPOSITION.exec(line)
    if (disposition ? name !== undefined : !OTHER_LINE.test(line)) return undefined
    name ??= disposition?.[1]
  }
  // Encoded words (RFC 2047), which old mail parsers undo.
  return name?.includes('=?') ? undefined : name
}
