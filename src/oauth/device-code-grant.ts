/**
 * RFC 8628 §3.4–3.5: one poll of the token endpoint.
 */
import { deviceCodeGrantRequest } from 'oauth4webapi'
import type { AuthorizationServer } from './authorization-server.ts'
import { errorCode, errorDescription } from './dialect.ts'
import { parseTokenResponse, type TokenSet, tokenProblem } from './token-response.ts'
import type { WireAnswer } from './wire.ts'

export type DevicePoll =
  | { kind: 'tokens'; tokens: TokenSet }
  | { kind: 'pending' }
  /** Add 5 s to the interval, for good (§3.5). */
  | { kind: 'slow_down' }
  | { kind: 'denied' }
  | { kind: 'expired' }
  /** The server does not know the device code. */
  | { kind: 'unknown_code' }
  /** Anything else that no waiting will mend. */
  | { kind: 'refused'; code: string }
  /** Nothing learned: network, 5xx, HTML, a word nobody knows. The session lives on. */
  | { kind: 'no_answer'; why: string }

/** Words that end a login (RFC 6749 §5.2, RFC 8628 §3.5; Entra ID's and GitHub's own). */
const ENDS: Readonly<Record<string, DevicePoll['kind']>> = {
  access_denied: 'denied',
  authorization_declined: 'denied',
  expired_token: 'expired',
  invalid_grant: 'expired', // the code is expired, revoked or was already used
  bad_verification_code: 'unknown_code',
  incorrect_device_code: 'unknown_code',
  invalid_request: 'refused',
  invalid_client: 'refused',
  incorrect_client_credentials: 'refused',
  unauthorized_client: 'refused',
  unsupported_grant_type: 'refused',
  invalid_scope: 'refused',
  device_flow_disabled: 'refused',
}

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
  return judgePoll(answer, server, clock())
}

/** @param receivedAt epoch ms */
function judgePoll(answer: WireAnswer, { provider }: AuthorizationServer, receivedAt: number): DevicePoll {
  if (answer.kind !== 'answer') return { kind: 'no_answer', why: answer.why }
  const { status, body } = answer
  const code = errorCode(answer)
  if (code === 'authorization_pending') return { kind: 'pending' }
  if (code === 'slow_down') return { kind: 'slow_down' }
  // A server in trouble, or one that is asked too often, does not speak of this login.
  const end = status < 500 && status !== 429 ? endOf(status, code) : undefined
  if (end) return end
  const isGood = status >= 200 && status < 300 && !code
  const tokens = isGood
    ? parseTokenResponse(body, receivedAt, provider.authorizationServer?.lifetimeMs)
    : undefined
  if (tokens) return { kind: 'tokens', tokens }
  const why = code
    ? `${code}: ${errorDescription(answer) ?? ''}`
    : (body && isGood && tokenProblem(body)) || 'no token answer'
  return { kind: 'no_answer', why: `status ${status}, ${why}` }
}

function endOf(status: number, code: string | undefined): DevicePoll | undefined {
  const kind = code === undefined ? undefined : ENDS[code]
  // Qwen's word for a dead device code is 401, whatever the body says; RFC 6749's for a refused client too.
  if (status === 401 && (kind === undefined || code === 'invalid_request')) return { kind: 'expired' }
  if (kind === 'refused') return { kind, code: code ?? '' }
  return kind === 'denied' || kind === 'expired' || kind === 'unknown_code' ? { kind } : undefined
}
