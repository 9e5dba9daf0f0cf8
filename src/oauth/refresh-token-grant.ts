/**
 * RFC 6749 §6: trades a refresh token for new tokens. One request, never repeated here: with rotation the
 * second one would revoke the whole family (RFC 9700 §4.14.2).
 */
import { refreshTokenGrantRequest } from 'oauth4webapi'
import { MINUTE } from '../base/clock.ts'
import type { AuthorizationServer } from './authorization-server.ts'
import { errorCode, errorDescription, isInvalidGrant } from './dialect.ts'
import { parseTokenResponse, type TokenSet } from './token-response.ts'
import type { WireAnswer } from './wire.ts'

export type Renewal =
  | { kind: 'tokens'; tokens: TokenSet }
  /** The grant is dead: a person must log in again. */
  | { kind: 'invalid_grant'; why: string }
  /** Surely not processed: the same refresh token may be sent again later. */
  | { kind: 'not_processed'; why: string; retryAfterMs: number | undefined }
  /** A session renewal that changed nothing; ask again after `retryAfterMs`. */
  | { kind: 'unmoved'; why: string; retryAfterMs: number }
  /** The refresh token may be spent: nobody knows. */
  | { kind: 'unclear'; why: string }

export async function refreshToken(
  server: AuthorizationServer,
  token: string,
  clock: () => number,
): Promise<Renewal> {
  const answer = await server.exchange((to, options) =>
    refreshTokenGrantRequest(to.metadata, to.client, to.clientAuthentication, token, options),
  )
  return judgeRenewal(answer, server, clock())
}

/** @param receivedAt epoch ms */
export function judgeRenewal(answer: WireAnswer, server: AuthorizationServer, receivedAt: number): Renewal {
  if (answer.kind === 'unreachable')
    return { kind: 'not_processed', why: answer.why, retryAfterMs: undefined }
  if (answer.kind === 'unclear') return answer
  const { status, body, retryAfterMs } = answer
  const code = errorCode(body)
  const why = `status ${status} ${code ?? ''} ${errorDescription(body) ?? ''}`.trim()
  if (code && isInvalidGrant(status, code, server.provider)) return { kind: 'invalid_grant', why }
  if (status === 429) return notProcessed(why, retryAfterMs)
  const tokens = status === 200 && !code ? parseTokenResponse(body, receivedAt) : undefined
  if (tokens) return { kind: 'tokens', tokens }
  // An OAuth error other than invalid_grant (RFC 6749 §5.2) is a refusal before the token was looked at.
  if (code && status < 500) return notProcessed(why, retryAfterMs)
  return { kind: 'unclear', why }
}

/** However long the server asks us to stay away: the credential must be renewed before it ends. */
const MAX_RETRY_AFTER_MS = 5 * MINUTE

function notProcessed(why: string, retryAfterMs: number | undefined): Renewal {
  const bounded = retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS)
  return { kind: 'not_processed', why, retryAfterMs: bounded }
}
