/**
 * How the calls of one credential reach upstream: where they go, what they carry there, and how they show the
 * credential. Made once for a credential as it was at one version, and used for each of its calls.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { AwsKeys } from '../base/aws-signature.ts'
import type { HttpRequest } from '../http1/request-head.ts'
import type { Egress } from '../provider/egress.ts'
import type { Provider } from '../provider/provider.ts'
import type { Auth, Carried, UpstreamConfig } from '../provider/upstream-config.ts'
import type { Way } from '../provider/way.ts'
import { type Authorize, authorizer, signing } from './authorize.ts'
import { RequestHeaders } from './headers.ts'
import type { UpstreamRequest } from './pool.ts'
import { AddedQuery } from './query.ts'
import { toTarget, type UpstreamTarget, upstreamPath, upstreamTarget } from './resource-url.ts'

/** What a client asks for. */
export interface ClientRequest extends Pick<HttpRequest, 'method' | 'body' | 'contentLength'> {
  /** As on its request line, e.g. `/v1/chat/completions?x=1`. */
  readonly target: string
  readonly headers: IncomingHttpHeaders
}

export interface Grounds {
  /** What upstream gets: a token or a key. */
  readonly token: string
  /** What its calls are signed with instead, where the file asks for that. */
  readonly awsKeys?: AwsKeys | undefined
  /** The token's own, as the server wrote it. */
  readonly resourceUrl: string | undefined
  /** The config's own; '' where the provider's counts. */
  readonly baseUrl: string
}

/** @throws BrokerError upstream_not_allowed | upstream_not_configured */
export function accessTo(provider: Provider, grounds: Grounds): UpstreamAccess {
  const { token, awsKeys, resourceUrl, baseUrl } = grounds
  const { awsSigV4, upstream } = provider
  const target = upstreamTarget(provider, resourceUrl, baseUrl)
  if (!awsSigV4 || !awsKeys) return UpstreamAccess.withToken(target, upstream, token)
  const sign = signing(awsSigV4, awsKeys)
  return new UpstreamAccess(target, upstream, () => sign)
}

export class UpstreamAccess {
  /** The way out, where its provider has one of its own. */
  readonly egress: Egress | undefined
  readonly #place: Place
  readonly #routes: readonly Route[]

  static withToken(target: UpstreamTarget, upstream: UpstreamConfig, token: string): UpstreamAccess {
    return new UpstreamAccess(target, upstream, (auth) => authorizer(auth, token))
  }

  constructor(target: UpstreamTarget, upstream: UpstreamConfig, authorizing: (auth: Auth) => Authorize) {
    const placeAt = (at: UpstreamTarget, carried: Carried) =>
      new Place(at, upstream.way, rulesOf(upstream, carried), authorizing(carried.auth))
    this.egress = upstream.way?.egress
    this.#place = placeAt(target, upstream)
    this.#routes = routesFrom(target, upstream).map(({ route, at }) => ({
      prefix: `/v1${route.prefix}`,
      place: placeAt(at, route),
    }))
  }

  /** Where calls go that no route sends elsewhere, e.g. `https://host/compatible-mode/v1`. */
  get baseUrl(): string {
    const { origin, basePath } = this.#place.target
    return origin + basePath
  }

  /** A client's request as it goes up. @throws BrokerError invalid_path */
  request(client: ClientRequest): UpstreamRequest {
    for (const { prefix, place } of this.#routes)
      if (isBelow(client.target, prefix)) return place.request(client)
    return this.#place.request(client)
  }
}

interface Route {
  /** With `/v1`. */
  readonly prefix: string
  readonly place: Place
}

/** Up to the end of a segment. */
function isBelow(target: string, prefix: string): boolean {
  return target.startsWith(prefix) && /^[/?]|^$/.test(target.charAt(prefix.length))
}

/**
 * Of the routes of a file those that hold for calls to `target`. One that names a host holds where calls go to the
 * file's own host otherwise: what is for a server of one's own goes nowhere else.
 */
function routesFrom(target: UpstreamTarget, { baseUrl, routes }: UpstreamConfig) {
  return routes.flatMap((route) => {
    const { baseUrl: there } = route
    if (there === undefined) return [{ route, at: target }]
    if (there.startsWith('/')) return [{ route, at: { origin: target.origin, basePath: there } }]
    const isAtHome = baseUrl !== undefined && toTarget(baseUrl).origin === target.origin
    return isAtHome ? [{ route, at: toTarget(there) }] : []
  })
}

/** What the calls to one place carry, whatever the credential. */
interface Rules {
  readonly headers: RequestHeaders
  readonly query: AddedQuery | undefined
}

/** Made once for a file, whose accounts may be thousands. */
const known = new WeakMap<Carried, Rules>()

function rulesOf(upstream: UpstreamConfig, carried: Carried): Rules {
  let rules = known.get(carried)
  if (!rules) {
    const { auth, headers, query } = carried
    rules = {
      headers: new RequestHeaders({ ...upstream, auth, headers }),
      query: Object.keys(query).length > 0 ? new AddedQuery(query) : undefined,
    }
    known.set(carried, rules)
  }
  return rules
}

/** One base URL. */
class Place {
  readonly target: UpstreamTarget
  readonly #rules: Rules
  readonly #authorize: Authorize
  readonly #way: Way | undefined

  constructor(target: UpstreamTarget, way: Way | undefined, rules: Rules, authorize: Authorize) {
    this.target = target
    this.#way = way
    this.#rules = rules
    this.#authorize = authorize
  }

  request({ method, target, headers, body, contentLength }: ClientRequest): UpstreamRequest {
    const { origin, basePath } = this.target
    const { query, headers: rules } = this.#rules
    const path = upstreamPath(target, basePath)
    return this.#authorize({
      way: this.#way,
      method,
      origin,
      path: query ? query.addTo(path) : path,
      headers: rules.of(headers),
      body,
      contentLength,
    })
  }
}
