/**
 * Where a credential's calls go: its `resource_url` if the token names one, else a base URL.
 *
 * The allow-list against a token that points elsewhere (a client may supply one): exact hosts, https, no user
 * info, checked on every use (docs/security.md).
 */
import { BrokerError } from '../base/errors.ts'
import type { Provider } from '../provider/provider.ts'
import { addressProblem } from '../provider/upstream-address.ts'
import { quotesAdded, withoutAdded } from './query.ts'

export interface UpstreamTarget {
  /** scheme://host[:port] */
  readonly origin: string
  /** What replaces `/v1` of the request's path, without a trailing slash, e.g. `/compatible-mode/v1`. */
  readonly basePath: string
}

/**
 * @param resourceUrl the token's, as the server wrote it: `portal.qwen.ai`, `https://portal.qwen.ai/v1/`, …
 * @param baseUrl the config's own; '' where the provider's counts
 * @throws BrokerError upstream_not_allowed | upstream_not_configured
 */
export function upstreamTarget(
  provider: Provider,
  resourceUrl: string | undefined,
  baseUrl: string,
): UpstreamTarget {
  if (resourceUrl?.trim()) return resourceTarget(provider, resourceUrl.trim())
  const configured = baseUrl || provider.upstream.baseUrl
  if (!configured) throw new BrokerError('upstream_not_configured')
  if (addressProblem(configured, provider.allowsInsecureLoopback, provider.upstream.httpHosts))
    throw refused('the base URL is not allowed')
  return toTarget(configured)
}

/** @param baseUrl which was checked */
export function toTarget(baseUrl: string): UpstreamTarget {
  const { origin, pathname } = new URL(baseUrl)
  return { origin, basePath: pathname.replace(/\/+$/, '') }
}

/** Visible ASCII without backslashes: what URL parsers drop or turn round has no place in an address. */
const PLAIN_ADDRESS = /^[A-Za-z0-9][\x21-\x5b\x5d-\x7e]*$/

function resourceTarget(provider: Provider, resourceUrl: string): UpstreamTarget {
  if (!PLAIN_ADDRESS.test(resourceUrl)) throw refused('resource_url must be a plain address')
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(resourceUrl) ? resourceUrl : `https://${resourceUrl}`
  const problem = addressProblem(text, provider.allowsInsecureLoopback, provider.upstream.httpHosts)
  if (problem) throw refused(`resource_url ${problem}`)
  const url = new URL(text)
  if (!provider.upstream.resourceHosts.has(url.host)) {
    const list = `${provider.file}: upstream.resource_hosts`
    throw refused(`resource_url names ${url.host}, which is not in ${list}; if you trust it, add it there`)
  }
  const path = url.pathname.replace(/\/+$/, '')
  return { origin: url.origin, basePath: path.endsWith('/v1') ? path : `${path}/v1` }
}

function refused(detail: string): BrokerError {
  return new BrokerError('upstream_not_allowed', { detail })
}

const PATH = /^\/v1(?:\/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*\/?(?:\?[\x21\x22\x24-\x7e]*)?$/
/** A path without any of these is what it looks like. */
const SUSPICIOUS = /[%;]|\/\./
/** Control characters, backslashes, a second layer of encoding: a server behind us may undo the first. */
const DISGUISED = /[\p{Cc}\\%]/u
/** Dots that a server takes for `.` or `..`, with the blanks and invisible characters that some of them drop. */
const DOTS = /^[.\p{Z}\p{Cf}]*$/u

/**
 * The upstream path of a request target. Built from a constant origin and this checked path, never by resolving
 * the client's text against a base: `new URL('//host', base)` leaves the base. Encoded slashes pass as they came (they
 * stand in model names), dot segments in no spelling.
 *
 * @param target as on the request line, e.g. `/v1/chat/completions?x=1`
 * @throws BrokerError invalid_path
 */
export function upstreamPath(target: string, basePath: string): string {
  const path = pathOf(target)
  if (!PATH.test(target) || (SUSPICIOUS.test(path) && isMisleading(path)))
    throw new BrokerError('invalid_path')
  return basePath + target.slice('/v1'.length)
}

/** As a lax server may read it: decoded, compatible characters for the real ones (full-width dots), parameters off. */
function isMisleading(path: string): boolean {
  let text: string
  try {
    text = decodeURIComponent(path).normalize('NFKC')
  } catch {
    return true // no UTF-8, which is read in many ways
  }
  if (DISGUISED.test(text)) return true
  const [, ...segments] = text.split('/')
  return segments.some((segment, index) => {
    const [name = ''] = segment.split(/[;?#]/, 1)
    const isEnd = segment === '' && index === segments.length - 1
    return !isEnd && DOTS.test(name) && !/^\.{3,}$/.test(name)
  })
}

/**
 * A `Location` of upstream's as its client reaches it, e.g. `/v1/files/1?x=y`; undefined if that is not through us:
 * on another host, beside the base URL, or with the credential in it.
 *
 * @param sent what upstream was asked for
 * @param target what the client asked for: the same path, behind `/v1`, without what was added to its query
 */
export function clientLocation(
  location: string,
  sent: { readonly origin: string; readonly path: string },
  target: string,
): string | undefined {
  const sentPath = pathOf(sent.path)
  const basePath = sentPath.slice(0, sentPath.length - (pathOf(target).length - '/v1'.length))
  const asked = new URL(sent.origin + sent.path)
  if (!URL.canParse(location, asked.href)) return undefined
  const { protocol, host, username, pathname, search, hash } = new URL(location, asked.href)
  // Behind a TLS terminator servers take themselves for http; we never follow, so only the host counts.
  if (!/^https?:$/.test(protocol) || host !== asked.host || username) return undefined
  if (pathname !== basePath && !pathname.startsWith(`${basePath}/`)) return undefined
  const there = `/v1${pathname.slice(basePath.length)}${withoutAdded(search, sent.path, target)}${hash}`
  return quotesAdded(there, sent.path, target) ? undefined : there
}

/** Without its query. */
function pathOf(target: string): string {
  const question = target.indexOf('?')
  return question === -1 ? target : target.slice(0, question)
}
