/**
 * The one connection pool to model endpoints: keep-alive per origin, TLS always verified, no redirects.
 */
import { Agent } from 'undici'
import { MINUTE, SECOND } from '../base/clock.ts'

/** A long completion without streaming sends its headers at the very end. */
export const HEADERS_TIMEOUT_MS = 10 * MINUTE
/** Idle time between two chunks, not a total. */
export const BODY_TIMEOUT_MS = 5 * MINUTE
const CONNECT_TIMEOUT_MS = 10 * SECOND

export function createAgent(): Agent {
  return new Agent({
    headersTimeout: HEADERS_TIMEOUT_MS,
    bodyTimeout: BODY_TIMEOUT_MS,
    connect: { timeout: CONNECT_TIMEOUT_MS },
    pipelining: 1,
  })
}
