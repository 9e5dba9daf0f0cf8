/**
 * Who renews which kind of credential: one request each.
 */
import type { Dispatcher } from 'undici'
import type { Clock } from '../base/clock.ts'
import type { AuthorizationServer } from '../oauth/authorization-server.ts'
import { isClientGrant, requestForClient } from '../oauth/client-grants.ts'
import { type Renewal, refreshToken } from '../oauth/refresh-token-grant.ts'
import { signedToken } from '../oauth/signed-token.ts'
import { requestBySteps } from '../oauth/token-request.ts'
import { renewWebSession } from '../oauth/web-session-renewal.ts'
import type { Provider } from '../provider/provider.ts'
import { isLogin } from '../provider/renewal-class.ts'
import type { Credential } from './credential.ts'

export function createRenew(
  servers: (provider: Provider) => AuthorizationServer,
  clock: Clock,
  dispatcherFor: (provider: Provider) => Dispatcher,
): (credential: Pick<Credential, 'provider' | 'tokens'>) => Promise<Renewal> {
  return async ({ provider, tokens }) => {
    const [lack] = provider.lacking
    if (lack)
      return {
        kind: 'not_processed',
        why: `input ${lack.input} ${lack.why.english}`,
        retryAfterMs: undefined,
      }
    if (isLogin(provider.kind) && tokens.refreshToken !== undefined) {
      return refreshToken(servers(provider), tokens.refreshToken, clock)
    }
    if (isClientGrant(provider.kind)) return requestForClient(provider.kind, servers(provider), clock)
    if (provider.signedJwt) return signedToken(provider.signedJwt, clock())
    if (provider.kind === 'token_request')
      return requestBySteps({ provider, dispatcher: dispatcherFor(provider), clock })
    if (provider.kind === 'session')
      return renewWebSession(provider, tokens.accessToken, tokens.expiresAt, clock, dispatcherFor(provider))
    return { kind: 'invalid_grant', why: 'there is nothing to renew it with' }
  }
}
