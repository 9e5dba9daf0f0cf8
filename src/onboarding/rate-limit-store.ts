/**
 * The store behind @fastify/rate-limit: counts for all replicas together.
 */
import type { RateCounters } from '../storage/rate-counters.ts'

type Done = (error: Error | null, result?: { current: number; ttl: number }) => void

export function createRateLimitStore(counters: RateCounters) {
  return class RateLimitStore {
    incr(bucket: string, done: Done, windowMs: number, max: number): void {
      counters.count(bucket, windowMs, max).then(
        (result) => done(null, result),
        (error: Error) => done(error),
      )
    }

    child(): RateLimitStore {
      return this
    }
  }
}
