/**
 * Tells the authorization server that a grant is over, once its config is.
 */
import type { Logger } from '../base/log.ts'
import type { AuthorizationServers } from '../oauth/authorization-servers.ts'
import { revokeToken } from '../oauth/revocation.ts'
import { isLogin } from '../provider/renewal-class.ts'
import type { Credential } from './credential.ts'

/** Of a grant, where the server has an endpoint for it. */
export interface Revocation {
  readonly kind: 'revoked' | 'not_revoked'
  readonly why?: string
}

/** Never rejects, as the config is gone either way. Undefined where there is nothing to revoke, or no way to. */
export type Revoke = (credential: Credential) => Promise<Revocation | undefined>

export function createRevoke(servers: AuthorizationServers, log: Logger): Revoke {
  return async ({ configId, provider, tokens }) => {
    if (!isLogin(provider.kind)) return undefined
    const token = tokens.refreshToken ?? tokens.accessToken
    const outcome = token ? await revokeToken(servers(provider), token) : 'no endpoint'
    if (outcome === 'no endpoint') return undefined
    if (outcome === 'revoked') return { kind: 'revoked' }
    log.warn({ configId, why: outcome }, 'the grant could not be revoked')
    return { kind: 'not_revoked', why: outcome }
  }
}
