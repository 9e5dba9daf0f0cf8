/**
 * Where secrets of a provider go, for whoever changes what it is filled with.
 */
import { Secret } from '../base/secret.ts'
import type { Provider } from './provider.ts'
import { stepsOf } from './source.ts'

/** Whether tokens of the one are as good for the other: the same client at the same server, and the same hosts. */
export function isSamePlace(one: Provider, other: Provider): boolean {
  return textOf(one) === textOf(other)
}

function textOf(provider: Provider): string {
  const { authorizationServer, webSession, upstream } = provider
  const asked = originsOf(stepsOf(provider).map(({ url }) => url))
  const all = [authorizationServer, webSession?.refreshEndpoint, asked, upstreamOrigins(upstream)]
  return JSON.stringify(all, function (this: Record<string, unknown>, name, shown: unknown) {
    const value = this[name]
    return value instanceof Secret ? value.reveal() : shown
  })
}

/** Whether secrets go somewhere after a change where they did not go before. */
export function goesElsewhere(before: Provider, after: Provider): boolean {
  const known = secretOrigins(before)
  return [...secretOrigins(after)].some((origin) => !known.has(origin))
}

/**
 * As it is with a base URL of the config's own. Whoever may manage can write a key but not read it; a stored one that
 * followed a base URL or an input anywhere would be read at the other end.
 * @param own '' where the provider's counts
 */
export function reaching(provider: Provider, own: string): Provider {
  const { upstream } = provider
  return own === '' ? provider : { ...provider, upstream: { ...upstream, baseUrl: own } }
}

/**
 * Hosts that get what a config keeps secret: its key, or what its client proves itself with. A header can hold any of
 * it, so upstream counts for every kind.
 */
function secretOrigins(provider: Provider): Set<string> {
  const { authorizationServer: server, webSession, upstream } = provider
  const addresses = [
    server?.issuer,
    server?.tokenEndpoint,
    server?.deviceAuthorizationEndpoint,
    server?.revocationEndpoint,
    webSession?.refreshEndpoint,
    ...stepsOf(provider).map(({ url }) => url),
  ]
  return new Set([...originsOf(addresses), ...upstreamOrigins(upstream)])
}

function upstreamOrigins({ baseUrl, routes }: Provider['upstream']): string[] {
  return originsOf([baseUrl, ...routes.map((route) => route.baseUrl)])
}

/** A route's path is at an origin that is there already. */
function originsOf(addresses: readonly (string | undefined)[]): string[] {
  return addresses.flatMap((address) =>
    address !== undefined && URL.canParse(address) ? [new URL(address).origin] : [],
  )
}
