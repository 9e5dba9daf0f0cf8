/**
 * What a token says about itself if it is a JWT: its claims, read and not verified. We hold the token, we do not judge
 * it; the server does.
 */
import { DAY, systemClock } from '../base/clock.ts'

export interface JwtClaims {
  readonly userId: string | undefined
  readonly issuer: string | undefined
  readonly subject: string | undefined
  /** Of several with a comma between them. */
  readonly audience: string | undefined
  /** Epoch ms. */
  readonly issuedAt: number | undefined
  /** Epoch ms; undefined also where `exp` makes no sense. */
  readonly expiresAt: number | undefined
}

/** An instant further away was written in milliseconds, or means "never". */
export const MAX_LIFETIME_MS = 3_650 * DAY

/** Undefined if it is not a JWT (RFC 7519). */
export function readJwt(token: string): JwtClaims | undefined {
  const [, payload, signature] = token.split('.')
  if (!payload || signature === undefined) return undefined
  try {
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Record<string, unknown>
    return {
      userId: textOf(claims['id'] ?? claims['sub']),
      issuer: textOf(claims['iss']),
      subject: textOf(claims['sub']),
      audience: textOf([claims['aud']].flat().join(', ')),
      issuedAt: fromNumericDate(claims['iat']),
      expiresAt: fromNumericDate(claims['exp']),
    }
  } catch {
    return undefined
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value.slice(0, 255) : undefined
}

/** Days until `expiresAt`, to one decimal; negative once it is over. */
export function daysRemaining(expiresAt: number, now: number): number {
  return Math.round(((expiresAt - now) / DAY) * 10) / 10
}

/** RFC 7519 §2: seconds since the epoch, perhaps with a fraction. */
function fromNumericDate(value: unknown): number | undefined {
  if (typeof value !== 'number' || !(value > 0)) return undefined
  const at = Math.trunc(value * 1000)
  return at < systemClock() + MAX_LIFETIME_MS ? at : undefined
}
