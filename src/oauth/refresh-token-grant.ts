/**
 * RFC 6749 §6: trades a refresh token for new tokens. One request, never repeated here: with rotation the
 * second one would revoke the whole family (RFC 9700 §4.14.2).
 */
import { refreshTokenGrantRequest } from 'oauth4webapi'
import { MINUTE } from '../base/clock.ts'
import type { AuthorizationServer } from './authorization-server.ts'
import { errorCode, errorDescription, isInvalidGrant } from './dialect.ts'
import { parseTokenResponse, type TokenSet, tokenProblem } from './token-response.ts'
import type { WireAnswer } from './wire.ts'

export type Renewal =
  | { kind: 'tokens'; tokens: TokenSet }
  /** The grant is dead: a person must log in again. */
  | { kind: 'invalid_grant'; why: string }
  /** What the config was given is refused; asking the same way again may help only once somebody has mended it. */
  | { kind: 'refused'; why: string }
  /** Surely not processed: the same refresh token may be sent again later. */
  | {
      kind: 'not_processed'
      why: string
      retryAfterMs: number | undefined
      /** It would have turned down any other credential as well. */
      isServerAway?: boolean
    }
  /** A session renewal that changed nothing. */
  | {
      kind: 'unmoved'
      why: string
      /** When to ask again, if it is about to end. */
      retryAfterMs: number
      /** It is due: nothing will extend it, and a person has to. */
      isEnding: boolean
    }
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
  if (answer.kind === 'unreachable') return notProcessed(answer.why, undefined, true)
  if (answer.kind === 'unsent') return notProcessed(answer.why, undefined, false)
  if (answer.kind === 'unclear') return answer
  const { status, body, retryAfterMs } = answer
  const code = errorCode(answer, server.provider.errors.invalidGrant)
  const why = [`status ${status}`, code, errorDescription(answer)].filter(Boolean).join(' ')
  if (code && isInvalidGrant(status, code, server.provider)) return { kind: 'invalid_grant', why }
  if (status === 429) return notProcessed(why, retryAfterMs, true)
  const isGood = status >= 200 && status < 300 && !code
  const tokens = isGood
    ? parseTokenResponse(body, receivedAt, server.provider.authorizationServer?.lifetimeMs)
    : undefined
  if (tokens) return { kind: 'tokens', tokens }
  // An OAuth error other than invalid_grant (RFC 6749 §5.2) is a refusal before the token was looked at.
  const isRefusal = code !== undefined && code !== 'server_error' && status < 500
  if (isRefusal) return notProcessed(why, retryAfterMs, ABOUT_ALL.has(code))
  return { kind: 'unclear', why: isGood && body ? `${why}, ${tokenProblem(body)}` : why }
}

/** However long the server asks us to stay away: the credential must be renewed before it ends. */
const MAX_RETRY_AFTER_MS = 5 * MINUTE

/** Errors that are about the server or our client, not about one refresh token. */
const ABOUT_ALL: ReadonlySet<string> = new Set(['invalid_client', 'temporarily_unavailable'])

export function notProcessed(why: string, retryAfterMs: number | undefined, isServerAway: boolean): Renewal {
  const bounded = retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS)
  return { kind: 'not_processed', why, retryAfterMs: bounded, isServerAway }
}
