/**
 * A key's own limit of requests a minute, counted in this process: a sliding log of the last minute's calls.
 */
import { MINUTE } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { ApiKey } from './api-key.ts'

export class KeyLimits {
  readonly #calls = new Map<string, number[]>()

  /** Counts a call. @throws BrokerError rate_limit_exceeded, with the seconds until the oldest call is a minute old */
  count(key: Pick<ApiKey, 'id' | 'requestsPerMinute'>, now: number = Date.now()): void {
    if (key.requestsPerMinute === null) return
    const calls = this.#calls.get(key.id) ?? []
    while (calls[0] !== undefined && calls[0] <= now - MINUTE) calls.shift()
    const [oldest] = calls
    if (oldest !== undefined && calls.length >= key.requestsPerMinute) {
      throw new BrokerError('rate_limit_exceeded', {
        retryAfterSeconds: (oldest + MINUTE - now) / 1000,
        limit: key.requestsPerMinute,
      })
    }
    calls.push(now)
    this.#calls.set(key.id, calls)
  }
}
