/**
 * Placeholders in the texts of a provider file: `{tenant}`, `{service_account.client_email}`, `{api_key.id|upper}`.
 *
 * A text is parsed once, when its file is read, and filled as often as it is needed. There are no expressions: a name,
 * perhaps a member of it, perhaps the fingerprint of the private key that it is, perhaps filters; `{{` is a brace.
 * What is filled in is never read again, so no value can hold a placeholder of its own.
 */
import { createHash, createPrivateKey, createPublicKey, randomUUID } from 'node:crypto'

export interface Reference {
  /** Of an input or of whatever else the one who fills knows; `uuid`: a new one each time. */
  readonly name: string
  /** Of a JSON upload, a group of the input's pattern, or of what else has members. */
  readonly member: string | undefined
  readonly isFingerprint: boolean
  readonly filters: readonly Filter[]
}

/** Texts of the author's and references, as they stand one after the other. */
export type Template = readonly (string | Reference)[]

/** What stands behind a name. */
export interface Value {
  readonly text: string
  readonly members: ReadonlyMap<string, string>
}

/** By name. One that is missing has no value. */
export type Values = ReadonlyMap<string, Value>

type Filter = keyof typeof FILTERS

const FILTERS = {
  upper: (text: string) => text.toUpperCase(),
  lower: (text: string) => text.toLowerCase(),
  base64: (text: string) => Buffer.from(text).toString('base64'),
} as const

/** Names that stand for something in every file. */
export const BUILT_IN: ReadonlySet<string> = new Set(['uuid'])

const BRACE = /\{\{|\{([^{}]*)\}|\{/g
const REFERENCE = /^([a-z][a-z0-9_]*)(?:\.([A-Za-z_][A-Za-z0-9_-]*))?(?:\.(fingerprint))?((?:\|[a-z0-9]+)*)$/

/** A text whose placeholders cannot be read; the message says so of the field that it stands in. */
export class UnreadableTemplate extends Error {
  override readonly name = 'UnreadableTemplate'
}

/** A value that does not fit where a template has it. */
export class UnfitValue extends Error {
  override readonly name = 'UnfitValue'
  /** Of the input. */
  readonly input: string
  readonly chinese: string

  constructor(input: string, english: string, chinese: string) {
    super(english)
    this.input = input
    this.chinese = chinese
  }
}

/** @throws UnreadableTemplate */
export function parseTemplate(text: string): Template {
  const parts: (string | Reference)[] = []
  let literal = ''
  let end = 0
  for (const found of text.matchAll(BRACE)) {
    literal += text.slice(end, found.index)
    end = found.index + found[0].length
    if (found[0] === '{{') literal += '{'
    else {
      if (literal !== '') parts.push(literal)
      literal = ''
      parts.push(referenceOf(found[0], found[1]))
    }
  }
  literal += text.slice(end)
  return literal === '' ? parts : [...parts, literal]
}

function referenceOf(written: string, inner: string | undefined): Reference {
  const match = inner === undefined ? null : REFERENCE.exec(inner)
  if (!match) throw new UnreadableTemplate(`has ${written}, which is no placeholder; a brace is written {{`)
  const [, name = '', member, fingerprint, filters = ''] = match
  const named = filters.split('|').slice(1)
  for (const filter of named) {
    if (!Object.hasOwn(FILTERS, filter)) {
      const known = Object.keys(FILTERS).join(', ')
      throw new UnreadableTemplate(`has ${written}, but there is no filter ${filter}; known: ${known}`)
    }
  }
  // `{key.fingerprint}` is of the input itself, `{account.key.fingerprint}` of a member.
  const isOwn = member === 'fingerprint' && fingerprint === undefined
  return {
    name,
    member: isOwn ? undefined : member,
    isFingerprint: isOwn || fingerprint !== undefined,
    filters: named as Filter[],
  }
}

export function referencesOf(template: Template): Reference[] {
  return template.filter((part) => typeof part !== 'string')
}

/** As an author writes it, without filters. */
export function nameOf({ name, member, isFingerprint }: Reference): string {
  return [name, ...(member === undefined ? [] : [member]), ...(isFingerprint ? ['fingerprint'] : [])].join(
    '.',
  )
}

/**
 * The text with its values in place, as they are: for forms (`URLSearchParams`), for JSON (`JSON.stringify` of what
 * holds it), for secrets. Undefined where one of them has no value: the field is then unset.
 * @throws UnfitValue
 */
export function fillText(template: Template, values: Values): string | undefined {
  let text = ''
  for (const part of template) {
    const piece = typeof part === 'string' ? part : valueBehind(part, values)
    if (piece === undefined) return undefined
    text += piece
  }
  return text
}

const VISIBLE = /^[\x20-\x7e]*$/

/** The same for a header, which holds visible ASCII. @throws UnfitValue */
export function fillHeader(template: Template, values: Values): string | undefined {
  for (const reference of referencesOf(template)) {
    if (VISIBLE.test(valueBehind(reference, values) ?? '')) continue
    throw new UnfitValue(
      reference.name,
      'goes into a header, where only letters, digits and signs of ASCII can be',
      '会写入请求头，只能包含 ASCII 字母、数字和符号',
    )
  }
  return fillText(template, values)
}

/** @throws UnfitValue */
export function valueBehind(reference: Reference, values: Values): string | undefined {
  const { name, member, isFingerprint, filters } = reference
  if (name === 'uuid') return randomUUID()
  const value = values.get(name)
  const text = member === undefined ? value?.text : value?.members.get(member)
  if (text === undefined) return undefined
  const plain = isFingerprint ? fingerprintOf(text, name) : text
  return filters.reduce((filtered, filter) => FILTERS[filter](filtered), plain)
}

/** `SHA256:` and the Base64 of the SHA-256 over a private key's public half (SubjectPublicKeyInfo, DER). */
function fingerprintOf(privateKey: string, input: string): string {
  try {
    const spki = createPublicKey(createPrivateKey(privateKey)).export({ type: 'spki', format: 'der' })
    return `SHA256:${createHash('sha256').update(spki).digest('base64')}`
  } catch {
    throw new UnfitValue(input, 'is not a private key in PEM without a password', '不是无密码的 PEM 私钥')
  }
}
