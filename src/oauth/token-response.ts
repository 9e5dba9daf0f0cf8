/**
 * A token answer (RFC 6749 §5.1) → a TokenSet with instants instead of durations.
 */
import type { JsonObject } from './wire.ts'

export interface TokenSet {
  readonly accessToken: string
  /** Undefined where the answer did not repeat it: the old one stays (RFC 6749 §6). */
  readonly refreshToken: string | undefined
  readonly tokenType: string
  readonly scope: string | undefined
  /** Epoch ms, or undefined where the server does not say. */
  readonly expiresAt: number | undefined
  /** Epoch ms at which the answer was read; undefined for tokens somebody handed to us. */
  readonly receivedAt: number | undefined
  /** Everything else the server said that is not a secret, e.g. `resource_url`. */
  readonly metadata: JsonObject
}

/** Visible ASCII only: anything else could break out of a header (design.md §6). */
const TOKEN = /^[\x21-\x7e]{1,8192}$/
const MAX_METADATA_CHARACTERS = 8_192
const KNOWN = new Set(['access_token', 'refresh_token', 'token_type', 'expires_in', 'scope'])
const SECRET_NAME = /token|secret|password|assertion/i

export function isToken(value: unknown): value is string {
  return typeof value === 'string' && TOKEN.test(value)
}

/**
 * @param receivedAt epoch ms at which the answer was read; `expires_in` counts from there
 * @returns undefined if this is no token answer
 */
export function parseTokenResponse(body: JsonObject | undefined, receivedAt: number): TokenSet | undefined {
  if (!body || !isToken(body['access_token'])) return undefined
  const refreshToken = body['refresh_token']
  if (refreshToken !== undefined && refreshToken !== null && refreshToken !== '' && !isToken(refreshToken)) {
    return undefined
  }
  const seconds = parseSeconds(body['expires_in'])
  return {
    accessToken: body['access_token'],
    refreshToken: isToken(refreshToken) ? refreshToken : undefined,
    tokenType: normalizeTokenType(body['token_type']),
    scope: typeof body['scope'] === 'string' ? body['scope'].slice(0, 500) : undefined,
    expiresAt: seconds === undefined ? undefined : Math.trunc(receivedAt + seconds * 1000),
    receivedAt: Math.trunc(receivedAt),
    metadata: metadataOf(body),
  }
}

/** `token_type` is case-insensitive (RFC 6749 §5.1); the seed wants it stored as "Bearer". */
export function normalizeTokenType(value: unknown): string {
  if (typeof value !== 'string' || value === '' || value.toLowerCase() === 'bearer') return 'Bearer'
  return value.slice(0, 50)
}

/** Some servers send the number as text, and Qwen may send null. */
function parseSeconds(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined
}

/** Fields beyond RFC 6749, without those that name a secret (an `id_token` is one): the column is not sealed. */
function metadataOf(body: JsonObject): JsonObject {
  const extra = Object.entries(body).filter(
    ([name, value]) =>
      !KNOWN.has(name) &&
      value !== null &&
      value !== undefined &&
      !(SECRET_NAME.test(name) && typeof value !== 'number'),
  )
  const metadata = Object.fromEntries(extra)
  if (JSON.stringify(metadata).length <= MAX_METADATA_CHARACTERS) return metadata
  return typeof body['resource_url'] === 'string' ? { resource_url: body['resource_url'] } : {}
}
