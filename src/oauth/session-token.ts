/**
 * What a web session's token says about itself: the claims of a JWT, read and not verified. We hold the token,
 * we do not judge it; the server does.
 */
import { DAY } from '../base/clock.ts'

export interface SessionClaims {
  readonly userId: string | undefined
  /** Epoch ms. */
  readonly issuedAt: number | undefined
  /** Epoch ms. */
  readonly expiresAt: number | undefined
}

/** Undefined if it is not a JWT (RFC 7519). */
export function readSessionToken(token: string): SessionClaims | undefined {
  const [, payload, signature] = token.split('.')
  if (!payload || signature === undefined) return undefined
  try {
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Record<string, unknown>
    const userId = claims['id'] ?? claims['sub']
    return {
      userId: typeof userId === 'string' ? userId.slice(0, 255) : undefined,
      issuedAt: fromSeconds(claims['iat']),
      expiresAt: fromSeconds(claims['exp']),
    }
  } catch {
    return undefined
  }
}

/** Days until `expiresAt`, to one decimal; negative once it is over. */
export function daysRemaining(expiresAt: number, now: number): number {
  return Math.round(((expiresAt - now) / DAY) * 10) / 10
}

function fromSeconds(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? Math.trunc(value * 1000) : undefined
}
