/**
 * Errors of ours as the SDK that made the call expects them: OpenAI's shape, or Anthropic's for a call of its API
 * (docs/api.md, Calls).
 */
import type { IncomingHttpHeaders } from 'node:http'
import { type BrokerError, ERRORS, type ErrorCode } from '../base/errors.ts'
import { serverSentEvent } from '../base/server-sent-events.ts'

export interface OpenAiError {
  readonly error: { message: string; type: string; param: null; code: string }
}

export interface AnthropicError {
  readonly type: 'error'
  readonly error: { type: string; message: string }
  readonly request_id: string
}

/** What of a call tells whose API it is of. */
export interface Asked {
  /** The request's id. */
  readonly id: string
  /** From `/v1` on. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

const MESSAGES = /^\/v1\/messages(?:[/?]|$)/

/** By its path; of the paths that both APIs have (`/v1/models`, `/v1/files`) by the version that Anthropic's asks for. */
export function isOfAnthropic({ url, headers }: Pick<Asked, 'url' | 'headers'>): boolean {
  return headers['anthropic-version'] !== undefined || MESSAGES.test(url)
}

export function errorBody(error: BrokerError, asked: Asked): OpenAiError | AnthropicError {
  if (!isOfAnthropic(asked)) return openAiError(error)
  const type = anthropicTypeOf(error)
  return { type: 'error', error: { type, message: messageOf(error) }, request_id: asked.id }
}

export function openAiError(error: BrokerError): OpenAiError {
  const { code, status } = error
  return { error: { message: messageOf(error), type: typeOf(status), param: null, code } }
}

/** Names the broker: upstream's errors pass as they are, and an SDK shows its user the message alone. */
function messageOf(error: BrokerError): string {
  // What a person has to mend is read by a person, who may read either language.
  const { code, english } = error
  return `token-broker: ${FOR_PEOPLE.has(code) ? `${ERRORS[code].chinese} · ${english}` : english}`
}

/** Nothing but what a person does helps. */
const FOR_PEOPLE: ReadonlySet<ErrorCode> = new Set(['credential_reauth_required', 'credential_refused'])

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error'
  if (status === 429) return 'rate_limit_error'
  return status < 500 ? 'invalid_request_error' : 'server_error'
}

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
}

function anthropicTypeOf({ code, status }: BrokerError): string {
  if (code === 'overloaded') return 'overloaded_error'
  return ANTHROPIC_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
}

/** Headers that belong to an error: its request, when to come back, and whether a retry can help at all. */
export function errorHeaders(error: BrokerError, asked: Asked): Record<string, string> {
  const headers: Record<string, string> = { 'x-request-id': asked.id }
  if (isOfAnthropic(asked)) headers['request-id'] = asked.id
  if (error.retryAfterSeconds !== undefined)
    headers['retry-after'] = String(Math.ceil(error.retryAfterSeconds))
  // RFC 9110 §15.5.22: what it is to be made over instead.
  if (error.status === 426) Object.assign(headers, { upgrade: 'HTTP/1.1', connection: 'upgrade, close' })
  // Some clients try for minutes, as if a key or a login would mend itself.
  if (error.status === 401) headers['x-should-retry'] = 'false'
  if (error.limit !== undefined) {
    headers['x-ratelimit-limit-requests'] = String(error.limit)
    headers['x-ratelimit-remaining-requests'] = '0'
    headers['x-ratelimit-reset-requests'] = `${headers['retry-after'] ?? 0}s`
  }
  return headers
}

/** The last event of a stream that upstream broke off, with a blank line in front to end what was half written. */
export function errorEvent(error: BrokerError, asked: Asked): string {
  return `\n\n${serverSentEvent(errorBody(error, asked), 'error')}`
}
