/**
 * The authorization servers of the provider files, by the names of their files.
 */
import type { Dispatcher } from 'undici'
import { BrokerError } from '../base/errors.ts'
import type { Provider } from '../provider/provider.ts'
import { AuthorizationServer } from './authorization-server.ts'

/** @throws BrokerError provider_not_found */
export type AuthorizationServers = (provider: string) => AuthorizationServer

/** Each is made when it is first asked for. */
export function authorizationServers(
  providers: ReadonlyMap<string, Provider>,
  dispatcherFor: (provider: Provider) => Dispatcher,
): AuthorizationServers {
  const servers = new Map<string, AuthorizationServer>()
  return (name) => {
    const known = servers.get(name)
    if (known) return known
    const provider = providers.get(name)
    if (!provider) throw new BrokerError('provider_not_found')
    const server = new AuthorizationServer(provider, dispatcherFor(provider))
    servers.set(name, server)
    return server
  }
}
