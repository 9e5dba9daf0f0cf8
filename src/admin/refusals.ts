/**
 * Wrong admin tokens and cookies, wherever they come: limited per caller, for all replicas together, and written down.
 *
 * Whoever judges a token compares it first and counts only what is wrong, so that the right one gets in also from an
 * address that is limited.
 */
import type { FastifyRequest } from 'fastify'
import { type Clock, MINUTE, SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { networkOf } from '../base/network.ts'
import { RecentCounts } from '../base/recent-counts.ts'
import type { RateCounters } from '../storage/rate-counters.ts'
import type { RefusedCalls } from './refused-calls.ts'

const PER_MINUTE = 10

export class Refusals {
  readonly #counters: RateCounters
  readonly #calls: Pick<RefusedCalls, 'add'>
  /** What this process saw itself: a flood costs no queries, and is limited while the database is away. */
  readonly #seen: RecentCounts

  constructor(counters: RateCounters, calls: Pick<RefusedCalls, 'add'>, clock: Clock) {
    this.#counters = counters
    this.#calls = calls
    this.#seen = new RecentCounts(PER_MINUTE, MINUTE, clock)
  }

  /** Counts one. @returns what to answer: admin_token_required | rate_limit_exceeded */
  async refuse(request: FastifyRequest): Promise<BrokerError> {
    const caller = networkOf(request.ip)
    this.#calls.add(caller)
    const waitMs = this.#seen.waitMs(caller) ?? (await this.#countWithOthers(caller))
    if (waitMs === undefined) return new BrokerError('admin_token_required')
    return new BrokerError('rate_limit_exceeded', { retryAfterSeconds: waitMs / SECOND })
  }

  async #countWithOthers(caller: string): Promise<number | undefined> {
    this.#seen.add(caller)
    try {
      const { current, ttl } = await this.#counters.count(`sign-in:${caller}`, MINUTE, PER_MINUTE)
      return current > PER_MINUTE ? ttl : undefined
    } catch {
      return undefined
    }
  }
}
