/**
 * Where a credential's calls go: its `resource_url` if the token names one, else a base URL.
 *
 * The allow-list against a token that points elsewhere (a client may supply one): exact hosts, https, no user
 * info, checked on every use (design.md §6).
 */
import { BrokerError } from '../base/errors.ts'
import { addressProblem, type Provider } from '../base/provider.ts'

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
  if (addressProblem(configured, provider.allowsInsecureLoopback))
    throw refused('the base URL is not allowed')
  const url = new URL(configured)
  return { origin: url.origin, basePath: url.pathname.replace(/\/+$/, '') }
}

/** Visible ASCII without backslashes: what URL parsers drop or turn round has no place in an address. */
const PLAIN_ADDRESS = /^[A-Za-z0-9][\x21-\x5b\x5d-\x7e]*$/

function resourceTarget(provider: Provider, resourceUrl: string): UpstreamTarget {
  if (!PLAIN_ADDRESS.test(resourceUrl)) throw refused('resource_url must be a plain address')
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(resourceUrl) ? resourceUrl : `https://${resourceUrl}`
  const problem = addressProblem(text, provider.allowsInsecureLoopback)
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
/** Dots, slashes, backslashes and control characters in disguise; a server behind us may undo the disguise. */
const DISGUISED = /%(?:2e|2f|5c|25|7f|[01][0-9a-f])/i
const DOT_SEGMENT = /\/\.{1,2}(?:\/|$)/

/**
 * The upstream path of a request target. Built from a constant origin and this checked path, never by resolving
 * the client's text against a base: `new URL('//host', base)` leaves the base.
 *
 * @param target as on the request line, e.g. `/v1/chat/completions?x=1`
 * @throws BrokerError invalid_path
 */
export function upstreamPath(target: string, basePath: string): string {
  const question = target.indexOf('?')
  const path = question === -1 ? target : target.slice(0, question)
  if (!PATH.test(target) || DISGUISED.test(path) || DOT_SEGMENT.test(path))
    throw new BrokerError('invalid_path')
  return basePath + target.slice('/v1'.length)
}
