/**
 * What may cross, each way. Two allow-lists: a header nobody thought of stays where it is.
 *
 * The client's key, its cookies and hop-by-hop headers never go upstream; Set-Cookie never comes back.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { HeaderList } from '../http1/header-list.ts'
import { PassHeaders } from '../provider/pass-headers.ts'
import type { UpstreamConfig } from '../provider/upstream-config.ts'

const REQUEST_HEADERS = [
  'accept',
  'accept-encoding',
  'accept-language',
  'content-encoding',
  'content-type',
  'idempotency-key',
  'if-none-match',
  'range',
  'traceparent',
  'tracestate',
  'x-client-request-id',
] as const
/** What vendors' SDKs say of a call: versions, betas, for whom it is. */
const VENDORS_HEADERS = new PassHeaders(['anthropic-*', 'openai-*'])
const RESPONSE_HEADERS: ReadonlySet<string> = new Set([
  'accept-ranges',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-length',
  'content-range',
  'content-type',
  'deprecation',
  'etag',
  'expires',
  'last-modified',
  'link',
  'request-id',
  'retry-after',
  'retry-after-ms',
  'server-timing',
  'sunset',
  'vary',
  'x-should-retry',
])
const VENDORS_ANSWER_HEADERS = /^(?:x-ratelimit-|openai-|x-dashscope-)/

/** What upstreams call the id of a request, the best known first. */
const REQUEST_IDS: ReadonlyMap<string, number> = new Map(
  [
    'x-request-id',
    'request-id',
    'x-amzn-requestid',
    'x-amz-request-id',
    'apim-request-id',
    'x-ms-request-id',
    'x-goog-request-id',
    'x-dashscope-request-id',
  ].map((name, rank) => [name, rank]),
)
const MAX_REQUEST_ID_LENGTH = 200
/** Of headers that are remembered: clients may invent more, and longer ones. */
const MAX_NAMES = 1_000
const MAX_NAME_LENGTH = 64
/** Challenges that make a browser ask for a password, on a page of ours (RFC 7617, RFC 4559). */
const ASKS_IN_BROWSERS = /(?:^|,)[\t ]*(?:basic|digest|negotiate|ntlm)(?:[\t ,]|$)/i

const OWN_NAME = 'token-broker'

/** What of a client's headers goes up to one provider, with the provider's own; without the credential. */
export class RequestHeaders {
  /** The same for every call. */
  readonly #own: readonly string[]
  readonly #appended: readonly (readonly [name: string, value: string])[]
  readonly #defaults: readonly (readonly [name: string, value: string])[]
  readonly #passed: PassHeaders | undefined
  /** What becomes of a header, by its name: those that are known, and those that clients send beside them. */
  readonly #ways = new Map<string, 'always' | 'over hops' | 'never'>()

  constructor({ headers, appendHeaders, defaultHeaders, passHeaders, auth }: HeaderRules) {
    const own = 'user-agent' in headers ? headers : { 'user-agent': OWN_NAME, ...headers }
    this.#own = Object.entries(own).flat()
    this.#appended = Object.entries(appendHeaders)
    this.#defaults = Object.entries(defaultHeaders)
    this.#passed = passHeaders
    for (const name of REQUEST_HEADERS) this.#ways.set(name, 'always')
    // Of these it is known who says them.
    const taken = [own, appendHeaders, defaultHeaders].flatMap(Object.keys)
    for (const name of [...taken, auth.name]) this.#ways.set(name, 'never')
  }

  /** A list of its own, to be added to. */
  of(client: IncomingHttpHeaders): HeaderList {
    const headers: HeaderList = []
    for (const name in client) {
      const way = this.#ways.get(name) ?? this.#decide(name)
      if (way === 'never') continue
      const value = client[name]
      if (typeof value !== 'string') continue
      if (way === 'always' || !isForThisHop(name, client)) headers.push(name, value)
    }
    for (const [name, value] of this.#appended) headers.push(name, appended(client[name], value))
    for (const [name, value] of this.#defaults) headers.push(name, client[name]?.toString() || value)
    headers.push(...this.#own)
    return headers
  }

  #decide(name: string): 'over hops' | 'never' {
    const passes = VENDORS_HEADERS.includes(name) || this.#passed?.includes(name)
    const way = passes ? 'over hops' : 'never'
    if (name.length <= MAX_NAME_LENGTH && this.#ways.size < MAX_NAMES) this.#ways.set(name, way)
    return way
  }
}

/** What `Connection` names, whatever that is (RFC 9110 §7.6.1). */
function isForThisHop(name: string, { connection = '' }: IncomingHttpHeaders): boolean {
  return connection
    .toLowerCase()
    .split(/[\t ,]+/)
    .includes(name)
}

type HeaderRules = Pick<
  UpstreamConfig,
  'headers' | 'appendHeaders' | 'defaultHeaders' | 'passHeaders' | 'auth'
>

/** A list with another member, unless it is there already (RFC 9110 §5.6.1). */
function appended(list: string | string[] | undefined, value: string): string {
  if (typeof list !== 'string' || list.trim() === '') return value
  const members = list.split(',').map((member) => member.trim())
  const missing = value.split(',').filter((member) => !members.includes(member.trim()))
  return [list, ...missing].join(',')
}

/**
 * @param headers upstream's, names in lower case. What it sent twice comes back twice.
 * @param status a challenge comes back with 401 only, where a client looks for it
 */
export function responseHeaders(headers: HeaderList, status = 200): HeaderList {
  const kept: HeaderList = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = headers[i + 1] as string
    if (name === 'content-length' && (status === 204 || status === 304)) continue // RFC 9110 §8.6; no body follows
    if (!mayComeBack(name)) {
      if (status !== 401 || name !== 'www-authenticate' || ASKS_IN_BROWSERS.test(value)) continue
    }
    // In front: behind a content-length Node reads its bytes as UTF-8 and then refuses what it finds.
    if (name === 'content-disposition') kept.unshift(name, value)
    else kept.push(name, value)
  }
  return kept
}

/** What upstream calls this request, for its support to look up. */
export function upstreamRequestId(headers: HeaderList): string | undefined {
  let found: string | undefined
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < headers.length; i += 2) {
    const rank = REQUEST_IDS.get(headers[i] as string)
    if (rank === undefined || rank >= best || headers[i + 1] === '') continue
    found = headers[i + 1]
    best = rank
  }
  return found?.slice(0, MAX_REQUEST_ID_LENGTH)
}

function mayComeBack(name: string): boolean {
  return RESPONSE_HEADERS.has(name) || VENDORS_ANSWER_HEADERS.test(name)
}
