/**
 * RFC 8628 §3.4–3.5: one poll of the token endpoint.
 */
import { deviceCodeGrantRequest } from 'oauth4webapi'
import type { AuthorizationServer } from './authorization-server.ts'
import { errorCode, errorDescription } from './dialect.ts'
import { parseTokenResponse, type TokenSet } from './token-response.ts'

export type DevicePoll =
  | { kind: 'tokens'; tokens: TokenSet }
  | { kind: 'pending' }
  /** Add 5 s to the interval, for good (§3.5). */
  | { kind: 'slow_down' }
  | { kind: 'denied' }
  | { kind: 'expired' }
  /** Nothing learned: network, 5xx, HTML. The session lives on. */
  | { kind: 'no_answer'; why: string }

export async function pollDeviceCode(
  server: AuthorizationServer,
  deviceCode: string,
  codeVerifier: string | undefined,
  clock: () => number,
): Promise<DevicePoll> {
  const answer = await server.exchange((to, options) =>
    deviceCodeGrantRequest(to.metadata, to.client, to.clientAuthentication, deviceCode, {
      ...options,
      ...(codeVerifier && { additionalParameters: { code_verifier: codeVerifier } }),
    }),
  )
  if (answer.kind !== 'answer') return { kind: 'no_answer', why: answer.why }
  const code = errorCode(answer.body)
  switch (code) {
    case 'authorization_pending':
      return { kind: 'pending' }
    case 'slow_down':
      return { kind: 'slow_down' }
    case 'access_denied':
      return { kind: 'denied' }
    case 'expired_token':
    case 'invalid_grant': // RFC 6749 §5.2: the code is expired, revoked or was already used
      return { kind: 'expired' }
  }
  if (answer.status === 401) return { kind: 'expired' } // Qwen's word for a dead device code
  const tokens = code ? undefined : parseTokenResponse(answer.body, clock())
  if (answer.status === 200 && tokens) return { kind: 'tokens', tokens }
  const why = code ? `${code}: ${errorDescription(answer.body) ?? ''}` : 'no token answer'
  return { kind: 'no_answer', why: `status ${answer.status}, ${why}` }
}
