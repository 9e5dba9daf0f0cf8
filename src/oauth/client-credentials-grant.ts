/**
 * RFC 6749 §4.4: a token for the client itself.
 */
import { clientCredentialsGrantRequest } from 'oauth4webapi'
import type { AuthorizationServer } from './authorization-server.ts'
import type { Renewal } from './refresh-token-grant.ts'
import { judgeShared } from './shared-renewal.ts'
import { parseTokenResponse, tokenProblem } from './token-response.ts'

export async function requestClientCredentials(
  server: AuthorizationServer,
  clock: () => number,
): Promise<Renewal> {
  const { authorizationServer, errors } = server.provider
  const scope = authorizationServer?.scope
  const parameters = new URLSearchParams(scope === undefined ? {} : { scope })
  const answer = await server.exchange((to, options) =>
    clientCredentialsGrantRequest(to.metadata, to.client, to.clientAuthentication, parameters, options),
  )
  return judgeShared(answer, {
    refused: errors.refused,
    tokens: ({ body }) => parseTokenResponse(body, clock()) ?? (body && tokenProblem(body)),
  })
}
