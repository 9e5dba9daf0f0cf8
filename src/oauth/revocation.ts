/**
 * RFC 7009: tells the server that a grant is no longer wanted. Asked of the refresh token, which ends the family.
 */
import { revocationRequest } from 'oauth4webapi'
import type { AuthorizationServer } from './authorization-server.ts'

/** `revoked`, `no endpoint` where the server has none for it, else why it did not work. */
export async function revokeToken(server: AuthorizationServer, token: string): Promise<string> {
  const { metadata } = await server.endpoint().catch(() => ({ metadata: undefined }))
  if (metadata?.revocation_endpoint === undefined) return 'no endpoint'
  const answer = await server.exchange((to, options) =>
    revocationRequest(to.metadata, to.client, to.clientAuthentication, token, options),
  )
  if (answer.kind !== 'answer') return answer.why
  return answer.status === 200 ? 'revoked' : `status ${answer.status}`
}
