/**
 * What calls cost, counted in memory and added to the hourly rows every few seconds.
 *
 * A count is an addition in a map: the hot path. What cannot be stored stays counted; only a process that is
 * killed takes its last seconds with it.
 */
import { type Clock, DAY, HOUR } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { inBatches } from '../storage/in-batches.ts'
import { RepeatedWrite } from '../storage/repeated-write.ts'
import type { UsageHourlyRow } from '../storage/tables.ts'
import type { TokenCounts } from './token-counts.ts'
import { UsageRows } from './usage-rows.ts'
import { ROWS_A_STATEMENT, type UsageStore } from './usage-store.ts'

export interface Use {
  readonly keyId: string
  readonly configId: string
  /** One that its config lists, or OTHER_MODELS; '' where the call names none. */
  readonly model: string
  readonly isError: boolean
  readonly tokenCounts: TokenCounts | undefined
}

const KEPT_MS = 400 * DAY
/** Beyond so many rows in memory all models of a key and config are counted together. */
const MAX_ROWS = 10_000
const MAX_MODEL = 255
/** What no config lists is counted under this name. */
export const OTHER_MODELS = '*'

export class Usage extends RepeatedWrite {
  readonly #store: UsageStore
  readonly #clock: Clock
  readonly #log: Logger
  #rows = new UsageRows()
  #hour = 0
  #hourEndsAt = 0
  #clearedAt = 0

  constructor(store: UsageStore, clock: Clock, log: Logger) {
    super()
    this.#store = store
    this.#clock = clock
    this.#log = log
  }

  /** @param requests 0 where only tokens are added to what was counted before */
  count({ keyId, configId, model, isError, tokenCounts }: Use, requests = 1): void {
    const now = this.#clock()
    if (now >= this.#hourEndsAt || now < this.#hour) {
      this.#hour = Math.floor(now / HOUR) * HOUR
      this.#hourEndsAt = this.#hour + HOUR
    }
    const row = this.#row(keyId, configId, model.slice(0, MAX_MODEL))
    row.requests += requests
    if (isError) row.errors += 1
    if (!tokenCounts) return
    row.prompt_tokens += tokenCounts.prompt
    row.completion_tokens += tokenCounts.completion
  }

  protected override async writeAll(): Promise<void> {
    const rows = this.#rows.all
    this.#rows = new UsageRows()
    try {
      while (rows.length > 0) {
        await this.#store.add(rows.slice(0, ROWS_A_STATEMENT))
        rows.splice(0, ROWS_A_STATEMENT)
      }
    } catch (error) {
      this.#log.warn({ err: error, count: rows.length }, 'usage could not be stored yet')
      for (const row of rows) this.#addBack(row)
      return
    }
    this.#clearOld()
  }

  /** Nobody's counts wait for it. */
  #clearOld(): void {
    const now = this.#clock()
    if (now < this.#clearedAt + DAY) return
    this.#clearedAt = now
    const hour = now - KEPT_MS
    inBatches((limit) => this.#store.deleteSomeBefore(hour, limit)).catch(() => undefined) // tomorrow again
  }

  #addBack({ requests, errors, prompt_tokens, completion_tokens, ...named }: UsageHourlyRow): void {
    const row = this.#rows.of(named.hour, named.key_id, named.config_id, named.model)
    row.requests += requests
    row.errors += errors
    row.prompt_tokens += prompt_tokens
    row.completion_tokens += completion_tokens
  }

  #row(keyId: string, configId: string, model: string): UsageHourlyRow {
    const isFull = this.#rows.all.length >= MAX_ROWS && !this.#rows.has(this.#hour, keyId, configId, model)
    return this.#rows.of(this.#hour, keyId, configId, isFull ? OTHER_MODELS : model)
  }
}
