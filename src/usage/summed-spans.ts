/**
 * What was used, summed span by span: each hour has a row for every account, key and model that was called in it, so however
 * long a time is asked for, a statement reads an hour or a day of it, and between two of them calls go on. The sum of a
 * span that is over is kept for a while, unless it is long or has names, which may change.
 *
 * What a replica could not store in time is in the sum later, once the one that was kept has been given up.
 */
import { setImmediate } from 'node:timers/promises'
import { BoundedMap } from '../base/bounded-map.ts'
import { type Clock, DAY, HOUR, MINUTE } from '../base/clock.ts'
import { MAX_SUMS, type UsageQuestion, type UsageStore, type UsageSum } from './usage-store.ts'

/** Replicas store what they counted every few seconds. */
const LATE_MS = MINUTE
const KEPT_MS = 10 * MINUTE
const MAX_KEPT = 256
const MAX_KEPT_SUMS = 500
/** A longer time is summed by days, and where these are too many by as many days as it takes. */
const MAX_HOURS = 48
const MAX_DAYS = 62

interface KeptSpan {
  readonly sums: readonly UsageSum[]
  readonly readAt: number
}

export class SummedSpans {
  readonly #store: Pick<UsageStore, 'sum'>
  readonly #clock: Clock
  /** By their questions. */
  readonly #kept = new BoundedMap<KeptSpan>(MAX_KEPT)

  constructor(store: Pick<UsageStore, 'sum'>, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** As {@link UsageStore.sum}. */
  async sum(question: UsageQuestion): Promise<UsageSum[]> {
    const merged = new Map<string, UsageSum>()
    for (const span of spansOf(question)) {
      for (const sum of await this.#span(span)) {
        const name = `${sum.at} ${sum.group}`
        merged.set(name, together(merged.get(name), sum))
      }
    }
    return [...merged.values()].sort(inOrder).slice(0, MAX_SUMS)
  }

  async #span(question: UsageQuestion): Promise<readonly UsageSum[]> {
    const { to, groupBy } = question
    const key = JSON.stringify(question)
    const now = this.#clock()
    const kept = this.#kept.get(key)
    if (kept && now < kept.readAt + KEPT_MS) return kept.sums
    await setImmediate()
    const sums = await this.#store.sum(question)
    const hasNames = groupBy === 'key' || groupBy === 'config'
    if (now >= to + LATE_MS && !hasNames && sums.length <= MAX_KEPT_SUMS)
      this.#kept.set(key, { sums, readAt: now })
    return sums
  }
}

/** Cut where a later question would cut, too. */
function* spansOf(question: UsageQuestion): Generator<UsageQuestion> {
  const { from, to } = question
  const size = to - from <= MAX_HOURS * HOUR ? HOUR : DAY * Math.ceil((to - from) / (MAX_DAYS * DAY))
  for (let begin = from; begin < to; ) {
    const end = Math.min(to, (Math.floor(begin / size) + 1) * size)
    yield { ...question, from: begin, to: end }
    begin = end
  }
}

function together(one: UsageSum | undefined, other: UsageSum): UsageSum {
  if (!one) return other
  return {
    ...other,
    requests: one.requests + other.requests,
    errors: one.errors + other.errors,
    promptTokens: one.promptTokens + other.promptTokens,
    completionTokens: one.completionTokens + other.completionTokens,
  }
}

function inOrder(one: UsageSum, other: UsageSum): number {
  if (one.group !== other.group) return one.group < other.group ? -1 : 1
  return (one.at ?? 0) - (other.at ?? 0)
}
