/**
 * What is thrown, as an error of the one table.
 */
import { BrokerError } from './errors.ts'

/**
 * What a thrown value means to a client: a BrokerError as it is, Fastify's own complaints about a request
 * translated, anything else `internal_error`.
 */
export function toBrokerError(thrown: unknown): BrokerError {
  if (thrown instanceof BrokerError) return thrown
  const { code, statusCode, message, validation } = thrown as {
    code?: string
    statusCode?: number
    message?: string
    validation?: unknown
  }
  if (validation) return new BrokerError('invalid_request', { reason: message ?? 'unknown field' })
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new BrokerError('request_too_large')
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new BrokerError('unsupported_media_type')
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new BrokerError('malformed_request', { cause: thrown })
  }
  return new BrokerError('internal_error', { cause: thrown, detail: message ?? String(thrown) })
}
