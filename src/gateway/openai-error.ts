/**
 * Errors as OpenAI SDKs expect them (docs/api.md, Calls).
 */
import { type BrokerError, ERRORS, type ErrorCode } from '../base/errors.ts'
import { serverSentEvent } from '../base/server-sent-events.ts'

export interface OpenAiError {
  readonly error: { message: string; type: string; param: null; code: string }
}

/** Its message names the broker: upstream's errors pass as they are, and an SDK shows its user the message alone. */
export function openAiError(error: BrokerError): OpenAiError {
  const { code } = error
  // What a person has to mend is read by a person, who may read either language.
  const message = FOR_PEOPLE.has(code) ? `${ERRORS[code].chinese} · ${error.english}` : error.english
  return { error: { message: `token-broker: ${message}`, type: typeOf(error.status), param: null, code } }
}

/** Nothing but what a person does helps. */
const FOR_PEOPLE: ReadonlySet<ErrorCode> = new Set(['credential_reauth_required', 'credential_refused'])

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error'
  if (status === 429) return 'rate_limit_error'
  return status < 500 ? 'invalid_request_error' : 'server_error'
}

/** Headers that belong to an error: when to come back, and whether a retry can help at all. */
export function errorHeaders(error: BrokerError): Record<string, string> {
  const headers: Record<string, string> = {}
  if (error.retryAfterSeconds !== undefined)
    headers['retry-after'] = String(Math.ceil(error.retryAfterSeconds))
  if (FOR_PEOPLE.has(error.code)) headers['x-should-retry'] = 'false'
  if (error.limit !== undefined) {
    headers['x-ratelimit-limit-requests'] = String(error.limit)
    headers['x-ratelimit-remaining-requests'] = '0'
    headers['x-ratelimit-reset-requests'] = `${headers['retry-after'] ?? 0}s`
  }
  return headers
}

/** The last event of a stream that upstream broke off, with a blank line in front to end what was half written. */
export function errorEvent(error: BrokerError): string {
  return `\n\n${serverSentEvent(openAiError(error), 'error')}`
}
