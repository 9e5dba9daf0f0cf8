/**
 * What reached the sandbox, for tests to look at.
 */
import type { IncomingHttpHeaders } from 'node:http'

export interface UpstreamRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly bodyBytes: number
}

export interface Counts {
  /** Requests as they arrive, also those that a fault answers. */
  deviceCodeRequests: number
  devicePolls: number
  refreshRequests: number
  upstreamCalls: number
  /** Refresh requests that rotated, also those whose answer a fault then lost. */
  refreshGrants: number
  /** Upstream calls without a live access token. */
  unauthorized: number
  /** Upstream calls whose client left before the answer was complete. */
  upstreamCancelled: number
  reusesDetected: number
  familiesRevoked: number
  lastUpstreamRequest: UpstreamRequest | null
}

export function newCounts(): Counts {
  return {
    deviceCodeRequests: 0,
    devicePolls: 0,
    refreshRequests: 0,
    upstreamCalls: 0,
    refreshGrants: 0,
    unauthorized: 0,
    upstreamCancelled: 0,
    reusesDetected: 0,
    familiesRevoked: 0,
    lastUpstreamRequest: null,
  }
}
