/**
 * How servers spell errors that RFC 6749 and RFC 8628 spell otherwise. Goes by the code, never by the status alone.
 */
import type { Provider } from '../base/provider.ts'
import { mask } from '../base/secret.ts'
import type { JsonObject } from './wire.ts'

/** The `error` of an OAuth answer, at any status (Qwen sends errors with 200), or undefined. */
export function errorCode(body: JsonObject | undefined): string | undefined {
  const error = body?.['error']
  return typeof error === 'string' && error.length > 0 && error.length <= 200
    ? withoutTokens(error)
    : undefined
}

/** What the server adds for a person; shortened, for the log and the audit trail only. */
export function errorDescription(body: JsonObject | undefined): string | undefined {
  const text = body?.['error_description']
  return typeof text === 'string' ? withoutTokens(text.slice(0, 1_000)).slice(0, 200) : undefined
}

/** Servers quote what they refuse: a run of characters that could be a token is masked. */
function withoutTokens(text: string): string {
  return text.replace(/(?=[\w.~+/=-]*[A-Z0-9])[\w.~+/=-]{24,}/g, mask)
}

/**
 * True if a refusal means that the refresh token is dead: `invalid_grant` (RFC 6749 §5.2) or this server's
 * word for it, e.g. Qwen's `invalid_request` at 400 and 401.
 */
export function isInvalidGrant(status: number, code: string, provider: Provider): boolean {
  return (status === 200 || status === 400 || status === 401) && provider.errors.invalidGrant.has(code)
}
