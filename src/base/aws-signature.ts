/**
 * AWS Signature Version 4 over a request as it stands on the wire
 * (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html), and Volcengine's dialect of
 * it (https://www.volcengine.com/docs/6369/67269).
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

interface Dialect {
  readonly algorithm: string
  /** Of what the signature itself adds. */
  readonly headerPrefix: string
  /** In front of the secret key. */
  readonly keyPrefix: string
  /** Behind the service. */
  readonly terminator: string
  /** The path is encoded once more than it is on the wire. */
  readonly encodesTwice: boolean
}

const DIALECTS = {
  aws: {
    algorithm: 'AWS4-HMAC-SHA256',
    headerPrefix: 'x-amz-',
    keyPrefix: 'AWS4',
    terminator: 'aws4_request',
    encodesTwice: true,
  },
  volcengine: {
    algorithm: 'HMAC-SHA256',
    headerPrefix: 'x-',
    keyPrefix: '',
    terminator: 'request',
    encodesTwice: false,
  },
} as const satisfies Record<string, Dialect>

/** What a request is signed for. */
export interface SigningPlace {
  readonly region: string
  readonly service: string
  /** `aws` where nothing is said. */
  readonly dialect?: keyof typeof DIALECTS
}

const UNSIGNED = 'UNSIGNED-PAYLOAD'
/** What the signature is about beside its own headers. Others may be changed by a proxy on the way. */
const SIGNED: ReadonlySet<string> = new Set(['content-type', 'content-encoding'])
const EMPTY_HASH = hashOf('')

export class AwsSigner {
  readonly #keys: AwsKeys
  readonly #dialect: Dialect
  readonly #deriving: readonly string[]
  #day = ''
  #key: KeyObject | undefined

  constructor(keys: AwsKeys, { region, service, dialect = 'aws' }: SigningPlace) {
    this.#keys = keys
    this.#dialect = DIALECTS[dialect]
    this.#deriving = [region, service, this.#dialect.terminator]
  }

  /**
   * All headers that the request goes with.
   * @param at epoch ms; the receiver's clock may differ by five minutes
   */
  sign({ method, host, path, headers, body }: Signable, at: number): string[] {
    const { accessKeyId, sessionToken } = this.#keys
    const { algorithm, headerPrefix: prefix, encodesTwice } = this.#dialect
    const time = new Date(at).toISOString().replace(/[-:]|\.\d{3}/g, '')
    const day = time.slice(0, 8)
    const bodyHash = body === 'unsigned' ? UNSIGNED : body === null ? EMPTY_HASH : hashOf(body)
    const own = [`${prefix}content-sha256`, bodyHash, `${prefix}date`, time]
    if (sessionToken !== undefined) own.push(`${prefix}security-token`, sessionToken)
    const all = [...withoutOwn(headers, prefix), ...own]
    const lines = signedLines(['host', host, ...all], prefix)
    const names = lines.map(([name]) => name).join(';')
    const canonical = [
      method,
      ...canonicalTarget(path, encodesTwice),
      ...lines.map(([name, value]) => `${name}:${value}`),
      '',
      names,
      bodyHash,
    ].join('\n')
    const scope = [day, ...this.#deriving].join('/')
    const toSign = [algorithm, time, scope, hashOf(canonical)].join('\n')
    const signature = createHmac('sha256', this.#keyOf(day)).update(toSign).digest('hex')
    const credential = `${algorithm} Credential=${accessKeyId}/${scope}`
    all.push('authorization', `${credential}, SignedHeaders=${names}, Signature=${signature}`)
    return all
  }

  /** As an object: bytes would be made one for each signature, which takes half of its time. */
  #keyOf(day: string): KeyObject {
    if (this.#key && this.#day === day) return this.#key
    const derive = (key: Buffer, part: string) => createHmac('sha256', key).update(part).digest()
    this.#day = day
    const first = Buffer.from(`${this.#dialect.keyPrefix}${this.#keys.secretAccessKey}`)
    this.#key = createSecretKey([day, ...this.#deriving].reduce(derive, first))
    return this.#key
  }
}

function hashOf(data: string | Buffer): string {
  return hash('sha256', data, 'hex')
}

const OWN: ReadonlySet<string> = new Set(['content-sha256', 'date', 'security-token'])

function withoutOwn(headers: readonly string[], prefix: string): string[] {
  return headers.filter((_, index) => {
    const name = headers[index - (index % 2)] as string
    return name !== 'authorization' && !(name.startsWith(prefix) && OWN.has(name.slice(prefix.length)))
  })
}

/** In the order of their names. */
function signedLines(headers: readonly string[], prefix: string): (readonly [name: string, value: string])[] {
  const lines: (readonly [name: string, value: string])[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (name !== 'host' && !SIGNED.has(name) && !name.startsWith(prefix)) continue
    lines.push([name, (headers[i + 1] as string).trim().replace(/\s+/g, ' ')])
  }
  return lines.sort(([one], [other]) => (one < other ? -1 : 1))
}

/**
 * The path, encoded once or once more, and the parameters in the order of their bytes. What is a plus stays one: only
 * in forms does it stand for a blank.
 */
function canonicalTarget(target: string, encodesTwice: boolean): [path: string, query: string] {
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
  const plain = encodesTwice ? path : decoded(path)
  return [encoded(plain).replaceAll('%2F', '/'), parameters.map((pair) => pair.join('=')).join('&')]
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
