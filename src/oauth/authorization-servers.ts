/**
 * The authorization servers of providers, as each config has them: what was discovered of one stays with it.
 */
import type { Dispatcher } from 'undici'
import type { Provider } from '../provider/provider.ts'
import { AuthorizationServer } from './authorization-server.ts'

export type AuthorizationServers = (provider: Provider) => AuthorizationServer

/** Each is made when it is first asked for. */
export function authorizationServers(
  dispatcherFor: (provider: Provider) => Dispatcher,
): AuthorizationServers {
  const servers = new WeakMap<Provider, AuthorizationServer>()
  return (provider) => {
    const known = servers.get(provider)
    if (known) return known
    const server = new AuthorizationServer(provider, dispatcherFor(provider))
    servers.set(provider, server)
    return server
  }
}
