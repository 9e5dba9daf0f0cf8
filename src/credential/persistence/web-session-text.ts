/**
 * A session's token as people bring it along: copied from a browser's storage or from a header, or a whole answer of
 * `GET …/api/v1/auths/`.
 */
import { SECOND } from '../../base/clock.ts'
import { numberOf } from '../../oauth/answer-body.ts'
import { isToken, type TokenSet } from '../../oauth/token-response.ts'
import { webSessionTokens } from '../../oauth/web-session-renewal.ts'

/** Undefined if there is no token in it. */
export function parseWebSession(text: string): TokenSet | undefined {
  const found = parseJson(text.replace(/^\ufeff/, '').trim())
  if (typeof found === 'string') {
    const token = found.replace(/^(?:authorization:\s*)?bearer\s+/i, '').trim()
    return isToken(token) ? webSessionTokens(token, undefined, undefined) : undefined
  }
  const { token, access_token, expires_at } = found
  const value = token ?? access_token
  return isToken(value) ? webSessionTokens(value, instantOf(numberOf(expires_at)), undefined) : undefined
}

/** A text that is no JSON stands for itself. */
function parseJson(text: string): string | Readonly<Record<string, unknown>> {
  let value: unknown = text
  try {
    value = JSON.parse(text)
  } catch {
    // a token as it is
  }
  if (typeof value === 'string') return value
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/** In seconds on the wire, in milliseconds in our own files; no session lasts for centuries. */
function instantOf(at: number | undefined): number | undefined {
  if (at === undefined || at <= 0) return undefined
  return at < LAST_SECOND ? Math.trunc(at * SECOND) : Math.trunc(at)
}

/** The year 5138. */
const LAST_SECOND = 1e11
