/**
 * AWS Signature Version 4 over a request as it stands on the wire
 * (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
 *
 * Synchronous, for it stands in the way of every call; the key that is derived for a day is kept.
 */
import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'

export interface AwsKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Of temporary keys. */
  readonly sessionToken: string | undefined
}

export interface Signable {
  readonly method: string
  /** host[:port], as in the Host header. */
  readonly host: string
  /** As on the request line: encoded once, with its query. */
  readonly path: string
  /** Name, value, name, value, …; names in lower case, none twice. */
  readonly headers: readonly string[]
  /** `unsigned`: it cannot be known before it is sent. */
  readonly body: Buffer | null | 'unsigned'
}

const ALGORITHM = 'AWS4-HMAC-SHA256'
const UNSIGNED = 'UNSIGNED-PAYLOAD'
/** What the signature is about beside AWS's own headers. Others may be changed by a proxy on the way. */
const SIGNED: ReadonlySet<string> = new Set(['content-type', 'content-encoding'])
const EMPTY_HASH = hashOf('')

export class AwsSigner {
  readonly #keys: AwsKeys
  readonly #scope: string
  readonly #deriving: readonly string[]
  #day = ''
  #key: KeyObject | undefined

  constructor(keys: AwsKeys, { region, service }: { readonly region: string; readonly service: string }) {
    this.#keys = keys
    this.#scope = `${region}/${service}/aws4_request`
    this.#deriving = [region, service, 'aws4_request']
  }

  /**
   * All headers that the request goes with.
   * @param at epoch ms; the receiver's clock may differ by five minutes
   */
  sign({ method, host, path, headers, body }: Signable, at: number): string[] {
    const { accessKeyId, sessionToken } = this.#keys
    const time = new Date(at).toISOString().replace(/[-:]|\.\d{3}/g, '')
    const day = time.slice(0, 8)
    const bodyHash = body === 'unsigned' ? UNSIGNED : body === null ? EMPTY_HASH : hashOf(body)
    const own = ['x-amz-content-sha256', bodyHash, 'x-amz-date', time]
    if (sessionToken !== undefined) own.push('x-amz-security-token', sessionToken)
    const all = [...withoutOwn(headers), ...own]
    const lines = signedLines(['host', host, ...all])
    const names = lines.map(([name]) => name).join(';')
    const canonical = [
      method,
      ...canonicalTarget(path),
      ...lines.map(([name, value]) => `${name}:${value}`),
      '',
      names,
      bodyHash,
    ].join('\n')
    const scope = `${day}/${this.#scope}`
    const toSign = [ALGORITHM, time, scope, hashOf(canonical)].join('\n')
    const signature = createHmac('sha256', this.#keyOf(day)).update(toSign).digest('hex')
    const credential = `${ALGORITHM} Credential=${accessKeyId}/${scope}`
    all.push('authorization', `${credential}, SignedHeaders=${names}, Signature=${signature}`)
    return all
  }

  /** As an object: bytes would be made one for each signature, which takes half of its time. */
  #keyOf(day: string): KeyObject {
    if (this.#key && this.#day === day) return this.#key
    const derive = (key: Buffer, part: string) => createHmac('sha256', key).update(part).digest()
    this.#day = day
    const first = Buffer.from(`AWS4${this.#keys.secretAccessKey}`)
    this.#key = createSecretKey([day, ...this.#deriving].reduce(derive, first))
    return this.#key
  }
}

function hashOf(data: string | Buffer): string {
  return hash('sha256', data, 'hex')
}

const OWN: ReadonlySet<string> = new Set([
  'authorization',
  'x-amz-content-sha256',
  'x-amz-date',
  'x-amz-security-token',
])

function withoutOwn(headers: readonly string[]): string[] {
  return headers.filter((_, index) => !OWN.has(headers[index - (index % 2)] as string))
}

/** In the order of their names. */
function signedLines(headers: readonly string[]): (readonly [name: string, value: string])[] {
  const lines: (readonly [name: string, value: string])[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (name !== 'host' && !SIGNED.has(name) && !name.startsWith('x-amz-')) continue
    lines.push([name, (headers[i + 1] as string).trim().replace(/\s+/g, ' ')])
  }
  return lines.sort(([one], [other]) => (one < other ? -1 : 1))
}

/**
 * The path as it is encoded once more, and the parameters in the order of their bytes. What is a plus stays one: only
 * in forms does it stand for a blank.
 */
function canonicalTarget(target: string): [path: string, query: string] {
  const question = target.indexOf('?')
  const path = question === -1 ? target : target.slice(0, question)
  const query = question === -1 ? '' : target.slice(question + 1)
  const parameters = query
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const equals = part.indexOf('=')
      const [name, value] = equals === -1 ? [part, ''] : [part.slice(0, equals), part.slice(equals + 1)]
      return [encoded(decoded(name)), encoded(decoded(value))] as const
    })
    .sort(([name, value], [other, otherValue]) =>
      name === other ? (value < otherValue ? -1 : 1) : name < other ? -1 : 1,
    )
  return [encoded(path).replaceAll('%2F', '/'), parameters.map((pair) => pair.join('=')).join('&')]
}

/** Percent-encoding undone, byte for byte: a text of one character for each byte. */
function decoded(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** All bytes but the unreserved ones (RFC 3986 §2.3). */
function encoded(bytes: string): string {
  return bytes.replace(
    /[^A-Za-z0-9._~-]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}
