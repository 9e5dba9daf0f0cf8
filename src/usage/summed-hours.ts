/**
 * What was used by all, hour by hour: each hour has a row for every account and key that was called in it, so the sum of
 * one that is over is kept for a while, and they are asked for one after the other, between which calls go on.
 *
 * What a replica could not store in time is in the sum later, once the one that was kept has been given up.
 */
import { setImmediate } from 'node:timers/promises'
import { BoundedMap } from '../base/bounded-map.ts'
import { type Clock, HOUR, MINUTE } from '../base/clock.ts'
import type { UsageQuestion, UsageStore, UsageSum } from './usage-store.ts'

/** Replicas store what they counted every few seconds. */
const LATE_MS = MINUTE
const KEPT_MS = 10 * MINUTE
/** Longer spans are asked for at once. */
const MAX_HOURS = 48

interface KeptHour {
  readonly sums: readonly UsageSum[]
  readonly readAt: number
}

export class SummedHours {
  readonly #store: Pick<UsageStore, 'sum'>
  readonly #clock: Clock
  /** By their beginning. */
  readonly #kept = new BoundedMap<KeptHour>(2 * MAX_HOURS)

  constructor(store: Pick<UsageStore, 'sum'>, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** As {@link UsageStore.sum}. */
  async sum(question: UsageQuestion): Promise<UsageSum[]> {
    const { from, to, groupBy, per, configIds, offsetMs } = question
    const isByHour = groupBy === 'hour' && !per && !configIds && offsetMs % HOUR === 0 && from % HOUR === 0
    if (!isByHour || to - from > MAX_HOURS * HOUR) return this.#store.sum(question)
    const sums: UsageSum[] = []
    for (let hour = from; hour < to; hour += HOUR)
      sums.push(...(await this.#hour({ ...question, from: hour, to: hour + HOUR })))
    return sums
  }

  async #hour(question: UsageQuestion): Promise<readonly UsageSum[]> {
    const { from: hour, to: end } = question
    const now = this.#clock()
    const kept = this.#kept.get(String(hour))
    if (kept && now < kept.readAt + KEPT_MS) return kept.sums
    await setImmediate()
    const sums = await this.#store.sum(question)
    if (now >= end + LATE_MS) this.#kept.set(String(hour), { sums, readAt: now })
    return sums
  }
}
