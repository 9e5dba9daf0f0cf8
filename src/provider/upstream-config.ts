/**
 * The `upstream` block of a provider file: where calls go, and what they carry there beside the client's own.
 */
import { SECOND } from '../base/clock.ts'
import type { Egress } from './egress.ts'
import { Fields } from './fields.ts'
import type { PassHeaders } from './pass-headers.ts'
import { assertFree, toHeaders, toPassHeaders } from './provider-headers.ts'
import { ProviderMistake } from './provider-mistake.ts'
import type { Address } from './upstream-address.ts'
import type { UpstreamFile } from './upstream-file.ts'
import { toWay, type Way } from './way.ts'

/** How a call shows the credential. */
export type Auth =
  /** Names in lower case. Without a scheme the header holds the token alone. */
  | { readonly in: 'header'; readonly name: string; readonly scheme: string | undefined }
  | { readonly in: 'query'; readonly name: string }

/** Calls below a prefix that go elsewhere, or carry something else; what it does not say is as for all others. */
export interface UpstreamRoute extends Carried {
  /** Below `/v1`, e.g. `/messages`; it ends where a segment ends. */
  readonly prefix: string
  /** A path at the origin of other calls, e.g. `/anthropic/v1`, or a URL. */
  readonly baseUrl: string | undefined
}

/** What a call carries beside the client's own, over which it wins. */
export interface Carried {
  readonly auth: Auth
  /** Names in lower case. */
  readonly headers: Headers
  readonly query: Readonly<Record<string, string>>
}

export interface UpstreamConfig extends Carried {
  readonly baseUrl: string | undefined
  readonly resourceHosts: ReadonlySet<string>
  /** host:port of endpoints that may be plain http, by the operator's word alone. */
  readonly httpHosts: ReadonlySet<string>
  /** What is joined to the client's own with a comma; names in lower case. */
  readonly appendHeaders: Headers
  /** What stands where the client's own is missing; names in lower case. */
  readonly defaultHeaders: Headers
  /** The longest prefix first. */
  readonly routes: readonly UpstreamRoute[]
  /** Which of a client's headers go up beyond the common ones; undefined: none. */
  readonly passHeaders: PassHeaders | undefined
  /** Undefined: connections as to all others. */
  readonly way: Way | undefined
  readonly models: readonly string[]
  /** After so much silence an event stream gets a comment; undefined: never. */
  readonly keepAliveMs: number | undefined
  /** Whose calls stay together: members of the body, and `header:` with its name in lower case; the first found counts. */
  readonly stickyBy: readonly string[]
}

type Path = readonly string[]
type Headers = Readonly<Record<string, string>>
const UPSTREAM: Path = ['upstream']

/** RFC 6750 §2.1. */
const BEARER: Auth = { in: 'header', name: 'authorization', scheme: 'Bearer' }

/** @throws ProviderMistake | UnfitValue */
export function toUpstream(
  file: UpstreamFile,
  address: Address,
  httpHosts: ReadonlySet<string>,
  fields: Fields,
  egress?: Egress,
): UpstreamConfig {
  const theClients = toClientHeaders(file, fields)
  return {
    baseUrl: address(file.base_url, ...UPSTREAM, 'base_url')?.replace(/\/+$/, ''),
    resourceHosts: new Set(file.resource_hosts),
    httpHosts,
    ...toCarried(file, theClients, fields, UPSTREAM),
    ...theClients,
    routes: toRoutes(file, theClients, address, fields),
    passHeaders: toPassHeaders(file.pass_headers),
    way: toWay(file.timeouts, egress),
    models: file.models ?? [],
    keepAliveMs: file.keep_alive_seconds && file.keep_alive_seconds * SECOND,
    stickyBy: toStickyBy(file.sticky_by),
  }
}

/** @throws ProviderMistake */
function toRoutes(
  file: UpstreamFile,
  theClients: ClientHeaders,
  address: Address,
  fields: Fields,
): UpstreamRoute[] {
  const prefixes = new Set<string>()
  const made = (file.routes ?? []).map((route, index) => {
    const at = [...UPSTREAM, 'routes', String(index)]
    const { prefix, base_url: text } = route
    if (prefixes.has(prefix)) throw new ProviderMistake([...at, 'prefix'], 'stands there twice')
    prefixes.add(prefix)
    const isPath = text?.startsWith('/')
    if (isPath && !isPlainPath(text)) throw new ProviderMistake([...at, 'base_url'], 'is not a plain path')
    const absolute = isPath ? `${NOWHERE}${text}` : text
    const baseUrl = address(absolute, ...at, 'base_url')?.slice(isPath ? NOWHERE.length : 0)
    const carried = toCarried({ ...file, ...route }, theClients, fields, at)
    return { prefix, baseUrl: baseUrl?.replace(/\/+$/, ''), ...carried }
  })
  return made.sort((one, other) => other.prefix.length - one.prefix.length)
}

function toStickyBy(given: UpstreamFile['sticky_by'] = []): string[] {
  return (typeof given === 'string' ? [given] : given).map((place) => place.toLowerCase())
}

/** It stays as it is, and at its origin, wherever it is resolved. */
function isPlainPath(text = ''): boolean {
  const filled = text.replaceAll(/\{[^{}]*\}/g, 'a')
  const url = URL.canParse(filled, NOWHERE) && new URL(filled, NOWHERE)
  return url && url.href === NOWHERE + filled && !/[?#]/.test(filled)
}

/** Where a path stands that is at the origin of other calls. */
const NOWHERE = 'https://a.invalid'

/** Of an endpoint that no provider file describes. */
export const PLAIN_UPSTREAM: UpstreamConfig = toUpstream(
  {},
  () => undefined,
  new Set(),
  new Fields(new Map(), {}),
)

type ClientHeaders = Pick<UpstreamConfig, 'appendHeaders' | 'defaultHeaders'>

/** Headers that the client has a word in. @throws ProviderMistake | UnfitValue */
function toClientHeaders(file: UpstreamFile, fields: Fields): ClientHeaders {
  const made = (field: 'append_headers' | 'default_headers') =>
    toHeaders(file[field], fields, [...UPSTREAM, field])
  return { appendHeaders: made('append_headers'), defaultHeaders: made('default_headers') }
}

/** Each header and parameter is said by one alone. @throws ProviderMistake */
function toCarried(
  { auth: given, headers: own, query = {} }: Pick<UpstreamFile, 'auth' | 'headers' | 'query'>,
  { appendHeaders, defaultHeaders }: ClientHeaders,
  fields: Fields,
  at: Path,
): Carried {
  const auth = toAuth(given, [...at, 'auth'])
  const headers = toHeaders(own, fields, [...at, 'headers'])
  const problem = (field: string, name: string) =>
    new ProviderMistake([...at, field], `holds ${name}, which is for the credential`)
  if (auth.in === 'query' && auth.name in query) throw problem('query', auth.name)
  if (auth.in === 'header' && auth.name in headers) throw problem('headers', auth.name)
  const isSaid = (name: string) => name in headers || (auth.in === 'header' && name === auth.name)
  const appended = Object.keys(appendHeaders).find(isSaid)
  if (appended) throw new ProviderMistake([...UPSTREAM, 'append_headers', appended], 'is said already')
  const standby = Object.keys(defaultHeaders).find((name) => isSaid(name) || name in appendHeaders)
  if (standby) throw new ProviderMistake([...UPSTREAM, 'default_headers', standby], 'is said already')
  return { auth, headers, query: toQuery(query, fields, [...at, 'query']) }
}

/** A parameter whose optional input is unset is not sent. @throws ProviderMistake | UnfitValue */
function toQuery(given: Readonly<Record<string, string>>, fields: Fields, at: Path): Record<string, string> {
  const query: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    const filled = fields.open(value, ...at, name)
    if (filled !== undefined) query[name] = filled
  }
  return query
}

/** @throws ProviderMistake */
function toAuth(given: UpstreamFile['auth'], at: Path): Auth {
  if (given === undefined) return BEARER
  const { header, scheme, query } = given
  if ((header === undefined) === (query === undefined)) throw new ProviderMistake(at, 'needs header or query')
  if (query !== undefined && scheme !== undefined)
    throw new ProviderMistake(at, 'has a scheme in headers only')
  if (query !== undefined) return { in: 'query', name: query }
  const name = (header ?? '').toLowerCase()
  if (name !== 'authorization') assertFree(name, [...at, 'header'])
  return { in: 'header', name, scheme }
}
