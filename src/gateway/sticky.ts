/**
 * `sticky_by` of a provider file: users are spread over neighbouring configs of the provider, and each keeps to
 * one, where the prompts are cached. Only the order changes, and only among neighbours: which configs may answer,
 * and which provider is asked first, is the key's business (routing.ts).
 */
import { hash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Provider } from '../base/provider.ts'
import type { Exchange } from './exchange.ts'
import { findUser } from './model-scan.ts'
import type { Route } from './routing.ts'

export function inStickyOrder(
  routes: readonly Route[],
  providers: ReadonlyMap<string, Provider>,
  headers: IncomingHttpHeaders,
  body: Exchange['body'],
): readonly Route[] {
  const stickyBy = ({ config }: Route) => providers.get(config.provider)?.upstream.stickyBy
  if (!routes.some(stickyBy)) return routes
  const ordered: Route[] = []
  for (const first of routes) {
    if (ordered.includes(first)) continue
    const others = routes.slice(ordered.length)
    const end = others.findIndex(({ config }) => config.provider !== first.config.provider)
    const neighbours = end === -1 ? others : others.slice(0, end)
    const user = userOf(stickyBy(first), headers, body)
    ordered.push(...(user ? ranked(user, neighbours) : neighbours))
  }
  return ordered
}

/** Whose call it is; undefined or '' if nobody asks, or the client does not say. */
function userOf(
  stickyBy: string | undefined,
  headers: IncomingHttpHeaders,
  body: Exchange['body'],
): string | undefined {
  if (stickyBy === undefined) return undefined
  if (stickyBy === 'user') return Buffer.isBuffer(body) ? findUser(body) : undefined
  return headers[stickyBy.slice('header:'.length)]?.toString()
}

/** Rendezvous hashing: when one is out its users move, each to a place that stays the same, and nobody else does. */
function ranked(user: string, routes: readonly Route[]): Route[] {
  const ranks = routes.map((route) => ({ route, rank: hash('sha1', `${route.config.id} ${user}`) }))
  ranks.sort((a, b) => (a.rank < b.rank ? -1 : 1))
  return ranks.map(({ route }) => route)
}
