/**
 * A token answer (RFC 6749 §5.1) → a TokenSet with instants instead of durations.
 */
import { type JsonObject, numberOf } from './answer-body.ts'
import { MAX_LIFETIME_MS, readJwt } from './jwt.ts'

export interface TokenSet {
  readonly accessToken: string
  /** Undefined where the answer did not repeat it; see {@link followedBy}. */
  readonly refreshToken: string | undefined
  readonly tokenType: string
  readonly scope: string | undefined
  /** Epoch ms, or undefined where the server does not say. */
  readonly expiresAt: number | undefined
  /** Epoch ms at which the answer was read (`refreshed_at` to others); undefined for tokens somebody handed to us. */
  readonly receivedAt: number | undefined
  /** Everything else the server said that is not a secret, e.g. `resource_url`. */
  readonly metadata: JsonObject
}

/** What is held once a renewal was answered: what the answer omits stays (RFC 6749 §6). */
export function followedBy(tokens: TokenSet, answer: TokenSet): TokenSet {
  return {
    ...answer,
    refreshToken: answer.refreshToken ?? tokens.refreshToken,
    scope: answer.scope ?? tokens.scope,
    metadata: { ...tokens.metadata, ...answer.metadata },
  }
}

/** Some servers put a whole group membership into a token; its columns hold as much, sealed. */
export const MAX_TOKEN_CHARACTERS = 32_768
/** Visible ASCII only: anything else could break out of a header. */
export const TOKEN_PATTERN = `^[\\x21-\\x7e]{1,${MAX_TOKEN_CHARACTERS}}$`
/** RFC 6749 §A.17: blanks too, for it travels in a form only. */
export const REFRESH_TOKEN_PATTERN = `^[\\x20-\\x7e]{1,${MAX_TOKEN_CHARACTERS}}$`
const TOKEN = new RegExp(TOKEN_PATTERN)
const REFRESH_TOKEN = new RegExp(REFRESH_TOKEN_PATTERN)

const MAX_METADATA_CHARACTERS = 8_192
/** What some servers add that is no secret, by name: what else they may call one, nobody can know. */
const PUBLIC_NAMES = [
  'resource_url',
  'endpoint',
  'refresh_expires_in',
  'refresh_token_expires_in',
  'ext_expires_in',
  'expires_on',
  'not_before',
  'not-before-policy',
  'user_id',
  'account_id',
  'created_at',
  'issued_at',
] as const

export function isToken(value: unknown): value is string {
  return typeof value === 'string' && TOKEN.test(value)
}

export function isRefreshToken(value: unknown): value is string {
  return typeof value === 'string' && REFRESH_TOKEN.test(value)
}

/**
 * @param receivedAt epoch ms at which the answer was read; `expires_in` counts from there
 * @param unspokenMs how long the access token lives where the answer does not say
 * @returns undefined if this is no token answer; {@link tokenProblem} says why
 */
export function parseTokenResponse(
  body: JsonObject | undefined,
  receivedAt: number,
  unspokenMs?: number,
): TokenSet | undefined {
  if (!body || tokenProblem(body) !== undefined) return undefined
  const { access_token: accessToken, refresh_token: refreshToken } = body
  if (!isToken(accessToken)) return undefined
  return {
    accessToken,
    refreshToken: isRefreshToken(refreshToken) ? refreshToken : undefined,
    tokenType: normalizeTokenType(body['token_type']),
    scope: scopeOf(body['scope']),
    expiresAt: endOf(body['expires_in'], unspokenMs, accessToken, receivedAt),
    receivedAt,
    metadata: metadataOf(body),
  }
}

/** Which token of an answer cannot be used, and why: for a person. Undefined if they can. */
export function tokenProblem(body: JsonObject): string | undefined {
  const { access_token: accessToken, refresh_token: refreshToken } = body
  if (typeof accessToken !== 'string' || accessToken === '') return 'no access_token'
  if (!isToken(accessToken)) return problemOf('access_token', accessToken)
  // One that is null, empty or no text at all is none: the old one stays.
  if (typeof refreshToken !== 'string' || refreshToken === '' || isRefreshToken(refreshToken))
    return undefined
  return problemOf('refresh_token', refreshToken)
}

function problemOf(name: string, { length }: string): string {
  if (length <= MAX_TOKEN_CHARACTERS) return `the ${name} has characters that none may have`
  return `the ${name} is ${length} characters long, more than ${MAX_TOKEN_CHARACTERS}`
}

/** RFC 6749 §3.3: one text with blanks; some answer with a list. */
function scopeOf(value: unknown): string | undefined {
  const text = Array.isArray(value) ? value.filter((one) => typeof one === 'string').join(' ') : value
  return typeof text === 'string' ? text.slice(0, 500) : undefined
}

/**
 * When a token just received ends. A lifetime that is over already, or lasts for ten years, tells nothing: then what
 * the provider file says counts, else the JWT's own `exp`, if the token is one, else nobody knows.
 */
function endOf(
  expiresIn: unknown,
  unspokenMs: number | undefined,
  accessToken: string,
  receivedAt: number,
): number | undefined {
  const toldMs = (numberOf(expiresIn) ?? 0) * 1000
  const lifetimeMs = toldMs > 0 && toldMs < MAX_LIFETIME_MS ? toldMs : unspokenMs
  if (lifetimeMs !== undefined) return Math.trunc(receivedAt + lifetimeMs)
  const end = readJwt(accessToken)?.expiresAt
  return end !== undefined && end > receivedAt ? end : undefined
}

/**
 * The life of a token that somebody hands to us: as told, else as the JWT says. One that is over is believed.
 *
 * @param expiresAt epoch ms; 0 and less say nothing
 */
export function lifeOfGiven(
  accessToken: string,
  expiresAt: number | undefined,
  receivedAt?: number,
): Pick<TokenSet, 'expiresAt' | 'receivedAt'> {
  if (expiresAt !== undefined && expiresAt > 0) return { expiresAt, receivedAt }
  const claims = readJwt(accessToken)
  return { expiresAt: claims?.expiresAt, receivedAt: receivedAt ?? claims?.issuedAt }
}

/** `token_type` is case-insensitive (RFC 6749 §5.1); the seed wants it stored as "Bearer". */
export function normalizeTokenType(value: unknown): string {
  if (typeof value !== 'string' || value === '' || value.toLowerCase() === 'bearer') return 'Bearer'
  return value.slice(0, 50)
}

/** Fields beyond RFC 6749 that are known to be no secret (an `id_token` is one): the column is not sealed. */
function metadataOf(body: JsonObject): JsonObject {
  const extra = PUBLIC_NAMES.flatMap((name) => {
    const value = body[name]
    return isScalar(value) ? [[name, value] as const] : []
  })
  const metadata = Object.fromEntries(extra)
  if (JSON.stringify(metadata).length <= MAX_METADATA_CHARACTERS) return metadata
  return typeof body['resource_url'] === 'string' ? { resource_url: body['resource_url'] } : {}
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
