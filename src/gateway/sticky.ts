/**
 * `sticky_by` of a provider file: users are spread over neighbouring configs of the provider, and each keeps to
 * one, where the prompts are cached. Only the order changes, and only among neighbours: which configs may answer,
 * and which provider is asked first, is the key's business (routing.ts).
 */
import { hash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Provider } from '../provider/provider.ts'
import { findUser } from './model-scan.ts'
import type { Route } from './routing.ts'

export function* inStickyOrder(
  routes: Iterable<Route>,
  providers: ReadonlyMap<string, Provider>,
  headers: IncomingHttpHeaders,
  body: Buffer | undefined,
): Generator<Route> {
  let neighbours: Route[] = []
  let provider: string | undefined
  let user: string | undefined
  for (const route of routes) {
    if (route.config.provider !== provider) {
      yield* ranked(user ?? '', neighbours)
      neighbours = []
      provider = route.config.provider
      user = userOf(providers.get(provider)?.upstream.stickyBy, headers, body)
    }
    if (user) neighbours.push(route)
    else yield route
  }
  yield* ranked(user ?? '', neighbours)
}

/** Whose call it is; undefined or '' if nobody asks, or the client does not say. */
function userOf(
  stickyBy: string | undefined,
  headers: IncomingHttpHeaders,
  body: Buffer | undefined,
): string | undefined {
  if (stickyBy === undefined) return undefined
  if (stickyBy === 'user') return body && findUser(body)
  return headers[stickyBy.slice('header:'.length)]?.toString()
}

/** Rendezvous hashing: when one is out its users move, each to a place that stays the same, and nobody else does. */
function ranked(user: string, routes: readonly Route[]): readonly Route[] {
  if (routes.length < 2) return routes
  const ranks = routes.map((route) => ({ route, rank: hash('sha1', `${route.config.id} ${user}`) }))
  ranks.sort((a, b) => (a.rank < b.rank ? -1 : 1))
  return ranks.map(({ route }) => route)
}
