/**
 * The authorization server that a login is for: as the config has it that is to be logged in, never at the server of inputs
 * that it has got meanwhile.
 */
import { BrokerError } from '../base/errors.ts'
import type { AuthorizationServer } from '../oauth/authorization-server.ts'
import type { Provider } from '../provider/provider.ts'
import type { SessionTarget } from './device-session.ts'

/** @throws BrokerError provider_not_found | inputs_required | login_superseded */
export type LoginServers = (
  provider: string,
  target: SessionTarget | undefined,
) => Promise<AuthorizationServer>

export interface LoginServerParts {
  readonly servers: (provider: Provider) => AuthorizationServer
  readonly providers: ReadonlyMap<string, Provider>
  /** How a config has its provider, and the version of its credential. */
  readonly providerOf: (configId: string) => Promise<{ provider: Provider; version: number } | undefined>
}

export function loginServers({ servers, providers, providerOf }: LoginServerParts): LoginServers {
  return async (name, target) => {
    const file = providers.get(name)
    if (!file) throw new BrokerError('provider_not_found')
    if (!file.fill || !target) return servers(ready(file))
    const config = await providerOf(target.configId)
    if (config?.version !== target.configVersion) throw new BrokerError('login_superseded')
    return servers(ready(config.provider))
  }
}

/** @throws BrokerError inputs_required */
function ready(provider: Provider): Provider {
  if (provider.lacking.length > 0) throw new BrokerError('inputs_required')
  return provider
}
