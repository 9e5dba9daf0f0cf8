/**
 * How often something came from each of many callers within a while: in memory, bounded, and nothing is written.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from './clock.ts'
import { upTo } from './up-to.ts'

const MAX_CALLERS = 10_000

export class RecentCounts {
  readonly #clock: Clock
  readonly #max: number
  readonly #windowMs: number
  readonly #counts = new LRUCache<string, { since: number; count: number }>(upTo(MAX_CALLERS))

  /** @param max how often is allowed within `windowMs` of the first time */
  constructor(max: number, windowMs: number, clock: Clock) {
    this.#max = max
    this.#windowMs = windowMs
    this.#clock = clock
  }

  /** Counts once more. */
  add(caller: string): void {
    const known = this.#current(caller)
    if (known) known.count += 1
    else this.#counts.set(caller, { since: this.#clock(), count: 1 })
  }

  /** How long a caller that has used up what is allowed has to wait; undefined: not at all. */
  waitMs(caller: string): number | undefined {
    const known = this.#current(caller)
    return known && known.count >= this.#max ? known.since + this.#windowMs - this.#clock() : undefined
  }

  #current(caller: string): { since: number; count: number } | undefined {
    const known = this.#counts.get(caller)
    const age = known && this.#clock() - known.since
    return age !== undefined && age >= 0 && age < this.#windowMs ? known : undefined
  }
}
