/**
 * What calls cost, counted in memory and added to the hourly rows every few seconds.
 *
 * A count is an addition in a map: the hot path. What cannot be stored stays counted; only a process that is
 * killed takes its last seconds with it.
 */
import { type Clock, DAY, HOUR, SECOND } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { UsageHourlyRow } from '../storage/tables.ts'
import type { Tokens } from './token-tail.ts'
import { ROWS_A_STATEMENT, type UsageStore } from './usage-store.ts'

export interface Use {
  readonly keyId: string
  readonly configId: string
  /** '' where the call names none. */
  readonly model: string
  readonly isError: boolean
  readonly tokens: Tokens | undefined
}

const FLUSH_EVERY_MS = 10 * SECOND
const KEPT_MS = 400 * DAY
/** Model names come from clients; beyond so many rows in memory they are counted together. */
const MAX_ROWS = 10_000
const MAX_MODEL = 255
const OTHER_MODELS = '*'

export class Usage {
  readonly #store: UsageStore
  readonly #clock: Clock
  readonly #log: Logger
  #rows = new Map<string, UsageHourlyRow>()
  #hour = 0
  #hourEndsAt = 0
  #timer: NodeJS.Timeout | undefined
  #flight: Promise<void> = Promise.resolve()
  #clearedAt = 0

  constructor(store: UsageStore, clock: Clock, log: Logger) {
    this.#store = store
    this.#clock = clock
    this.#log = log
  }

  count({ keyId, configId, model, isError, tokens }: Use): void {
    const now = this.#clock()
    if (now >= this.#hourEndsAt || now < this.#hour) {
      this.#hour = Math.floor(now / HOUR) * HOUR
      this.#hourEndsAt = this.#hour + HOUR
    }
    const row = this.#row(keyId, configId, model.slice(0, MAX_MODEL))
    row.requests += 1
    if (isError) row.errors += 1
    if (!tokens) return
    row.prompt_tokens += tokens.prompt
    row.completion_tokens += tokens.completion
  }

  /** Adds to the table every few seconds from now on. */
  start(): void {
    this.#timer = setInterval(() => void this.flush(), FLUSH_EVERY_MS).unref()
  }

  /** The last counts, too. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.flush()
  }

  /** What was counted so far; one write at a time. */
  flush(): Promise<void> {
    this.#flight = this.#flight.then(() => this.#write())
    return this.#flight
  }

  async #write(): Promise<void> {
    const rows = [...this.#rows.values()]
    this.#rows = new Map()
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
    await this.#clearOld()
  }

  async #clearOld(): Promise<void> {
    const now = this.#clock()
    if (now < this.#clearedAt + DAY) return
    this.#clearedAt = now
    await this.#store.deleteBefore(now - KEPT_MS).catch(() => undefined) // tomorrow again
  }

  #addBack(row: UsageHourlyRow): void {
    const id = idOf(row.hour, row.key_id, row.config_id, row.model)
    const newer = this.#rows.get(id)
    if (!newer) {
      this.#rows.set(id, row)
      return
    }
    newer.requests += row.requests
    newer.errors += row.errors
    newer.prompt_tokens += row.prompt_tokens
    newer.completion_tokens += row.completion_tokens
  }

  #row(keyId: string, configId: string, model: string): UsageHourlyRow {
    const id = idOf(this.#hour, keyId, configId, model)
    const known = this.#rows.get(id)
    if (known) return known
    if (this.#rows.size >= MAX_ROWS && model !== OTHER_MODELS) return this.#row(keyId, configId, OTHER_MODELS)
    const row: UsageHourlyRow = {
      hour: this.#hour,
      key_id: keyId,
      config_id: configId,
      model,
      requests: 0,
      errors: 0,
      prompt_tokens: 0,
      completion_tokens: 0,
    }
    this.#rows.set(id, row)
    return row
  }
}

function idOf(hour: number, keyId: string, configId: string, model: string): string {
  return `${hour}|${keyId}|${configId}|${model}`
}
