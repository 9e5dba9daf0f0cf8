/**
 * RFC 6749 §4.4: a token for the client itself. Asking spends nothing, so doubt is no reason to wait.
 */
import { clientCredentialsGrantRequest } from 'oauth4webapi'
import type { AuthorizationServer } from './authorization-server.ts'
import { judgeRenewal, type Renewal } from './refresh-token-grant.ts'

export async function requestClientCredentials(
  server: AuthorizationServer,
  clock: () => number,
): Promise<Renewal> {
  const scope = server.provider.authorizationServer?.scope
  const parameters = new URLSearchParams(scope === undefined ? {} : { scope })
  const answer = await server.exchange((to, options) =>
    clientCredentialsGrantRequest(to.metadata, to.client, to.clientAuthentication, parameters, options),
  )
  const renewal = judgeRenewal(answer, server, clock())
  if (renewal.kind === 'tokens') return renewal
  // No answer at all, too: asking spends nothing, so one at a time can find out.
  const isServerAway = renewal.kind === 'unclear' || ('isServerAway' in renewal && renewal.isServerAway)
  return { kind: 'not_processed', why: renewal.why, retryAfterMs: undefined, isServerAway }
}
