/**
 * Writes down that wrong tokens came: one row an address and minute, however many came, and from a minute with very
 * many addresses one row for the rest of them. Counted in memory, so that a flood is no flood of writes.
 */
import { type Clock, MINUTE, SECOND } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { recordRefused } from '../storage/audit-log.ts'
import type { Database } from '../storage/database.ts'

const FLUSH_EVERY_MS = 2 * SECOND
/** Minutes and addresses that wait to be written, also while the database is away. */
const MAX_WAITING = 1_000
const THE_REST = 'others'

export class RefusedCalls {
  readonly #database: Database
  readonly #clock: Clock
  readonly #log: Logger
  #waiting = new Map<string, { minute: number; address: string; count: number }>()
  #timer: NodeJS.Timeout | undefined

  constructor(database: Database, clock: Clock, log: Logger) {
    this.#database = database
    this.#clock = clock
    this.#log = log
  }

  add(caller: string): void {
    const minute = Math.floor(this.#clock() / MINUTE) * MINUTE
    const isFull = this.#waiting.size >= MAX_WAITING && !this.#waiting.has(`${minute} ${caller}`)
    const address = isFull ? THE_REST : caller
    const key = `${minute} ${address}`
    const count = (this.#waiting.get(key)?.count ?? 0) + 1
    this.#waiting.set(key, { minute, address, count })
    this.#timer ??= setTimeout(() => void this.flush(), FLUSH_EVERY_MS).unref()
  }

  /** What cannot be written now is kept for the next time. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const [key, refused] of [...this.#waiting]) {
      this.#waiting.delete(key)
      try {
        await recordRefused(this.#database, refused)
      } catch (error) {
        const since = this.#waiting.get(key)?.count ?? 0
        this.#waiting.set(key, { ...refused, count: refused.count + since })
        this.#timer ??= setTimeout(() => void this.flush(), FLUSH_EVERY_MS).unref()
        this.#log.warn({ err: error }, 'refused calls could not be written down yet')
        return
      }
    }
  }
}
