/**
 * How servers spell errors that RFC 6749 and RFC 8628 spell otherwise: at any status (Qwen sends them with 200), as a
 * text or as an object, under other names. Goes by the word, never by the status alone.
 */

import { withoutQuoted } from '../base/quoted.ts'
import { mask } from '../base/secret.ts'
import type { Provider } from '../provider/provider.ts'
import type { JsonObject } from './answer-body.ts'
import type { Answered } from './wire.ts'

/** RFC 6749 §5.2, RFC 8628 §3.5, and what Entra ID and GitHub say in their place. */
const KNOWN_WORDS = new Set([
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'invalid_scope',
  'authorization_pending',
  'slow_down',
  'access_denied',
  'authorization_declined',
  'expired_token',
  'bad_verification_code',
  'incorrect_device_code',
  'incorrect_client_credentials',
  'device_flow_disabled',
])
const MAX_WORD = 200
const MAX_DEPTH = 3
/** What stands where an error would, and is none. */
const NO_ERROR = /^(\d*|ok|success|none|null|false)$/i

/**
 * The error of an OAuth answer, at any status, or undefined. A word we know wins wherever it stands; one we do not
 * counts only where a code belongs: in `error`, itself a text or an object.
 *
 * @param dialect the provider's own words
 */
export function errorCode(
  { body, sent }: Said,
  dialect: ReadonlySet<string> = new Set(),
): string | undefined {
  if (!body) return undefined
  const errors = [body['error'], body['errors']]
  const everywhere = [...errors, body['code'], body['message']]
  for (const word of everywhere.flatMap((value) => wordsOf(value, ANY_MEMBER))) {
    if (dialect.has(word)) return word
    if (KNOWN_WORDS.has(word.toLowerCase())) return word.toLowerCase()
  }
  const [unknown] = errors.flatMap((value) => wordsOf(value, CODE_MEMBERS))
  return unknown === undefined ? undefined : withoutSecrets(unknown, sent)
}

/** What a server says, without what may be a secret in it. */
export function withoutSecrets(text: string, sent: Said['sent']): string {
  return withoutTokens(withoutQuoted(text, sent))
}

type Said = Pick<Answered, 'body' | 'sent'>

const CODE_MEMBERS = ['code', 'error', 'type']
const ANY_MEMBER = [...CODE_MEMBERS, 'status', 'message']

/** Texts that may be an error's code, the likeliest first. Numbers are statuses and say nothing. */
function wordsOf(value: unknown, members: readonly string[], depth = MAX_DEPTH): string[] {
  if (typeof value === 'string') {
    const word = value.trim()
    return word.length <= MAX_WORD && !NO_ERROR.test(word) ? [word] : []
  }
  if (typeof value !== 'object' || value === null || depth === 0) return []
  const inner = Array.isArray(value) ? value.slice(0, 3) : members.map((name) => (value as JsonObject)[name])
  return inner.flatMap((item) => wordsOf(item, members, depth - 1))
}

/** What the server adds for a person; shortened, for the log and the audit trail only. */
export function errorDescription({ body, sent }: Said): string | undefined {
  const { error } = body ?? {}
  const inner = typeof error === 'object' && error !== null ? (error as JsonObject) : undefined
  const text =
    body?.['error_description'] ?? inner?.['error_description'] ?? inner?.['message'] ?? body?.['message']
  if (typeof text !== 'string') return undefined
  return withoutSecrets(text.slice(0, 1_000), sent).slice(0, 200)
}

/** Servers quote what they refuse, also what others sent them: a run of characters that could be a token is masked. */
function withoutTokens(text: string): string {
  return text.replace(/(?=[\w.~+/=-]*[A-Z0-9])[\w.~+/=-]{24,}/g, mask)
}

/**
 * True if a refusal means that the refresh token is dead: `invalid_grant` (RFC 6749 §5.2) or this server's
 * word for it, e.g. Qwen's `invalid_request`. Not where the server speaks of itself (5xx) or of a limit (429).
 */
export function isInvalidGrant(status: number, code: string, provider: Provider): boolean {
  return status < 500 && status !== 429 && provider.errors.invalidGrant.has(code)
}
