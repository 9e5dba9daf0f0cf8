/**
 * The inputs of a provider file: what they are, and whether a value is one.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { ConfigError, type Environment, secretOf } from '../base/environment.ts'
import type { Said } from '../base/language.ts'
import { Secret } from '../base/secret.ts'
import type { InputFile, Words } from './input-schema.ts'
import { UnfitValue, type Value } from './placeholders.ts'
import { ProviderMistake } from './provider-mistake.ts'

export interface Input {
  readonly name: string
  readonly label: Said
  readonly help: Said | undefined
  readonly helpUrl: string | undefined
  readonly example: string | undefined
  readonly type: 'text' | 'json' | 'pem' | 'host'
  readonly isSecret: boolean
  readonly isRequired: boolean
  /** What counts where a config says nothing. */
  readonly default: string | Secret | undefined
  readonly pattern: RegExp | undefined
  /** Undefined: anything. */
  readonly choices: readonly string[] | undefined
  /** A form offers to read it from a file. */
  readonly file: { readonly accept: string | undefined } | undefined
  readonly maxBytes: number
  /** Of a JSON upload: those that a template may name. */
  readonly members: ReadonlyMap<string, RegExp>
  /** In a host it may be so many labels. */
  readonly hostLabels: number
  readonly allowedSuffixes: readonly string[]
  readonly isAnyHost: boolean
}

const KIB = 1024
const MAX_UPLOAD_KIB = 16
const MAX_TEXT_KIB = 4

/** @throws ProviderMistake */
export function toInputs(
  given: Readonly<Record<string, InputFile>> = {},
  env: Environment,
): readonly Input[] {
  const ordered = Object.entries(given).sort(
    ([, one], [, other]) => (one.order ?? Number.MAX_VALUE) - (other.order ?? Number.MAX_VALUE),
  )
  return ordered.map(([name, file]) => {
    const input = toInput(name, file, env)
    checkNeeds(input)
    checkDefault(input, file)
    return input
  })
}

function toInput(name: string, file: InputFile, env: Environment): Input {
  const { type = 'text', members = {} } = file
  const isUpload = type === 'json' || type === 'pem'
  return {
    name,
    label: toSaid(file.label ?? name),
    help: file.help === undefined ? undefined : toSaid(file.help),
    helpUrl: toPage(name, file.help_url),
    example: file.example,
    type,
    isSecret: file.secret ?? false,
    isRequired: file.required ?? true,
    default: defaultOf(file, env),
    pattern: file.pattern === undefined ? undefined : toPattern(file.pattern, [name, 'pattern']),
    choices: file.choices,
    file: file.file && { accept: file.file.accept },
    maxBytes: (file.file?.max_kib ?? (isUpload ? MAX_UPLOAD_KIB : MAX_TEXT_KIB)) * KIB,
    members: new Map(
      Object.entries(members).map(([member, source]) => [
        member,
        toPattern(source, [name, 'members', member]),
      ]),
    ),
    hostLabels: file.host_labels ?? 1,
    allowedSuffixes: file.allowed_suffixes ?? [],
    isAnyHost: file.any_host ?? false,
  }
}

/** In both languages, if need be the same. */
export function toSaid(words: Words): Said {
  return typeof words === 'string'
    ? { english: words, chinese: words }
    : { english: words.en, chinese: words.zh }
}

/** A variable that is not set, or empty, means no value: a file that is shipped must not stop those who do not use it. */
function defaultOf({ default: text, secret }: InputFile, env: Environment): Input['default'] {
  if (text === undefined) return undefined
  try {
    const value = text.startsWith('env:') ? secretOf(env, text.slice('env:'.length)) : new Secret(text)
    return secret ? value : value?.reveal()
  } catch (error) {
    if (error instanceof ConfigError) return undefined
    throw error
  }
}

function toPattern(source: string, path: readonly string[]): RegExp {
  try {
    return new RegExp(source, 'u')
  } catch {
    throw new ProviderMistake(['inputs', ...path], 'is not a regular expression')
  }
}

function toPage(name: string, url: string | undefined): string | undefined {
  if (url === undefined || (URL.canParse(url) && new URL(url).protocol === 'https:')) return url
  throw new ProviderMistake(['inputs', name, 'help_url'], 'must be an https URL')
}

/** Below a top-level domain at least, and whole labels. */
const SUFFIX = /^(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?){2,}$/

function checkNeeds({ name, type, members, allowedSuffixes, isAnyHost, ...input }: Input): void {
  const path = ['inputs', name]
  const isHost = type === 'host'
  if (name === 'uuid' || name === 'login')
    throw new ProviderMistake(path, 'is a name that stands for something else')
  if (isHost && allowedSuffixes.length === 0 && !isAnyHost) {
    throw new ProviderMistake(path, 'needs allowed_suffixes, or any_host: true')
  }
  if (!isHost && (allowedSuffixes.length > 0 || isAnyHost)) {
    throw new ProviderMistake(path, 'has type: host where allowed_suffixes or any_host are of use')
  }
  if (isHost && input.isSecret)
    throw new ProviderMistake([...path, 'secret'], 'cannot be: a host is no secret')
  const strange = allowedSuffixes.findIndex((suffix) => !SUFFIX.test(suffix))
  if (strange !== -1) {
    const at = [...path, 'allowed_suffixes', String(strange)]
    throw new ProviderMistake(at, 'must be a dot and at least two labels, such as .example.com')
  }
  if (type !== 'json' && members.size > 0) throw new ProviderMistake([...path, 'members'], 'need type: json')
}

function checkDefault(input: Input, { default: text }: InputFile): void {
  if (text === undefined || text.startsWith('env:')) return
  try {
    readInput(input, text)
  } catch (error) {
    if (!(error instanceof UnfitValue)) throw error
    throw new ProviderMistake(['inputs', input.name, 'default'], error.message)
  }
}

/**
 * A value as templates use it: with the members of a JSON upload, or the named groups of its pattern.
 * @throws UnfitValue
 */
export function readInput(input: Input, text: string): Value {
  const unfit = (english: string, chinese: string) => new UnfitValue(input.name, english, chinese)
  if (text.trim() === '') throw unfit('is empty', '为空')
  if (!text.isWellFormed()) throw unfit('is not a text', '不是有效文本')
  if (Buffer.byteLength(text) > input.maxBytes) {
    const kib = input.maxBytes / KIB
    throw unfit(`is longer than ${kib} KiB`, `超过 ${kib} KiB`)
  }
  if (input.choices && !input.choices.includes(text)) {
    const list = input.choices.join(', ')
    throw unfit(`must be one of ${list}`, `必须是以下之一：${list}`)
  }
  const match = input.pattern?.exec(text)
  if (match === null) {
    const { example } = input
    const such = example === undefined ? '' : `, such as ${example}`
    throw unfit(
      `does not look as it should${such}`,
      `格式不正确${example === undefined ? '' : `，例如 ${example}`}`,
    )
  }
  return { text, members: MEMBERS_OF[input.type](input, text, match?.groups ?? {}) }
}

type Members = ReadonlyMap<string, string>

const MEMBERS_OF = {
  text: ofText,
  json: ofJson,
  pem: ofPem,
  host: ofHost,
} as const satisfies Record<
  Input['type'],
  (input: Input, text: string, groups: Record<string, string>) => Members
>

const CONTROL = /\p{Cc}/u

function ofText({ name }: Input, text: string, groups: Record<string, string>): Members {
  if (CONTROL.test(text)) throw new UnfitValue(name, 'must be one line', '必须是单行文本')
  return new Map(Object.entries(groups).filter(([, value]) => value !== undefined))
}

function ofJson({ name, members }: Input, text: string): Members {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    // Said below.
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new UnfitValue(name, 'is not a JSON object', '不是 JSON 对象')
  }
  const found = new Map<string, string>()
  for (const [member, pattern] of members) {
    const value = Object.hasOwn(content, member) ? (content as Record<string, unknown>)[member] : undefined
    if (typeof value !== 'string' || !value.isWellFormed() || !pattern.test(value)) {
      throw new UnfitValue(name, `has no ${member} as it should be`, `缺少正确的 ${member}`)
    }
    found.set(member, value)
  }
  return found
}

function ofPem({ name }: Input, text: string): Members {
  try {
    if (/-----BEGIN CERTIFICATE-----/.test(text)) new X509Certificate(text)
    else createPrivateKey(text)
  } catch {
    throw new UnfitValue(
      name,
      'is not a private key or a certificate in PEM without a password',
      '不是无密码的 PEM 私钥或证书',
    )
  }
  return new Map()
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
/** At least two labels, the last of which is no number: an address is none. Perhaps a path of plain segments. */
const HOST = new RegExp(`^((?:${LABEL}\\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)((?:/[A-Za-z0-9._~-]+)*/?)$`)
const MAX_HOST = 253

/** Of a value of type `host`; undefined if it is none. */
export function partsOfHost(text: string): { host: string; path: string } | undefined {
  const [, host = '', path = ''] = HOST.exec(text) ?? []
  const isDotted = path.split('/').some((segment) => segment === '.' || segment === '..')
  return host === '' || host.length > MAX_HOST || isDotted ? undefined : { host, path }
}

function ofHost({ name, allowedSuffixes, isAnyHost }: Input, text: string): Members {
  const parts = partsOfHost(text)
  if (!parts) {
    throw new UnfitValue(
      name,
      'must be a name in lower case such as models.example.com, without https:// and port',
      '必须是小写主机名，例如 models.example.com，不含 https:// 和端口',
    )
  }
  if (!isAnyHost && !allowedSuffixes.some((suffix) => parts.host.endsWith(suffix))) {
    const list = allowedSuffixes.join(', ')
    throw new UnfitValue(name, `must end in ${list}`, `必须以 ${list} 结尾`)
  }
  return new Map()
}
