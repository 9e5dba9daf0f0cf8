/**
 * Tells every replica that keys or configs changed: one counter row, raised in the transaction of the change and
 * read once a second. What was cached stays valid while the counter stands still, so that a hot path needs no
 * time limits of its own and a deleted key is gone everywhere within 5 s (interface.md §5).
 *
 * The same query reads the database's clock, which all replicas then share.
 */
import { type Kysely, sql } from 'kysely'
import { type Clock, systemClock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Database } from './database.ts'
import type { Tables } from './tables.ts'

const POLL_MS = 1_000

/** Call it with the transaction that changes a key or a config. */
export async function noteChange(trx: Kysely<Tables>): Promise<void> {
  await trx.updateTable('change_counter').set({ value: sql<number>`value + 1` }).where('id', '=', 1).execute()
}

export class ChangeWatcher {
  readonly #database: Database
  readonly #log: Logger
  readonly #listeners: (() => void)[] = []
  #value: number | undefined
  #seen = 0
  #skewMs = 0
  #lastSeenAt = 0
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(database: Database, log: Logger) {
    this.#database = database
    this.#log = log
  }

  /** The database's time, as far as this process last saw it. */
  readonly clock: Clock = () => systemClock() + this.#skewMs

  /** Milliseconds since the database last answered: how old a cached key may be. */
  get silentForMs(): number {
    return performance.now() - this.#lastSeenAt
  }

  /**
   * How many changes this process has seen. A read that began before one and ends after it may be stale, so
   * cache what you read only if this number did not move meanwhile.
   */
  get seen(): number {
    return this.#seen
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Looks once, then once a second. @throws BrokerError storage_unavailable */
  async start(): Promise<void> {
    await this.look()
    this.#schedule()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  /** This process knows of a change already, for instance its own. */
  noticed(): void {
    this.#seen += 1
    for (const listener of this.#listeners) listener()
  }

  /** Reads counter and clock now. */
  async look(): Promise<void> {
    const askedAt = systemClock()
    const row = await this.#database.run((db) =>
      db
        .selectFrom('change_counter')
        .select(['value', sql<number>`${this.#database.nowMs}`.as('now')])
        .where('id', '=', 1)
        .executeTakeFirstOrThrow(),
    )
    this.#lastSeenAt = performance.now()
    this.#skewMs = row.now - (askedAt + systemClock()) / 2
    const hasChanged = this.#value !== undefined && row.value !== this.#value
    this.#value = row.value
    if (hasChanged) this.noticed()
  }

  #schedule(): void {
    if (this.#isStopped) return
    this.#timer = setTimeout(async () => {
      try {
        await this.look()
      } catch (error) {
        this.#log.warn({ err: error }, 'the database does not answer')
      }
      this.#schedule()
    }, POLL_MS)
    this.#timer.unref()
  }
}
