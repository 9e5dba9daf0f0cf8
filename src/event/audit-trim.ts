/**
 * What the audit keeps: 400 days, refreshes 30. Deleted once an hour, some rows at a time, so that nobody waits.
 */
import { type Clock, DAY, HOUR } from '../base/clock.ts'
import { every } from '../base/every.ts'
import type { Logger } from '../base/log.ts'
import { deleteSomeEvents } from '../storage/audit-events.ts'
import { deleteSomeAudit } from '../storage/audit-log.ts'
import type { Database } from '../storage/database.ts'

const KEPT_MS = 400 * DAY
const REFRESHES_KEPT_MS = 30 * DAY
const BATCH = 1_000

export class AuditTrim {
  readonly #database: Database
  readonly #clock: Clock
  readonly #log: Logger
  #stop: (() => void) | undefined
  #isStopped = false

  constructor(database: Database, clock: Clock, log: Logger) {
    this.#database = database
    this.#clock = clock
    this.#log = log
  }

  /** Now, then once an hour. */
  start(): void {
    const trim = () =>
      this.trim().catch((error: unknown) => this.#log.warn({ err: error }, 'old audit rows stay'))
    void trim()
    this.#stop = every(HOUR, trim)
  }

  stop(): void {
    this.#isStopped = true
    this.#stop?.()
  }

  async trim(): Promise<void> {
    const now = this.#clock()
    const all = { before: now - KEPT_MS, limit: BATCH }
    const refreshes = { before: now - REFRESHES_KEPT_MS, type: 'credential.refreshed', limit: BATCH } as const
    for (const old of [all, refreshes]) {
      await this.#deleteAll(() => deleteSomeAudit(this.#database, old))
      await this.#deleteAll(() => deleteSomeEvents(this.#database, old))
    }
  }

  /** @param deleteSome says how many it deleted */
  async #deleteAll(deleteSome: () => Promise<number>): Promise<void> {
    let deleted = BATCH
    while (deleted === BATCH && !this.#isStopped) deleted = await deleteSome()
  }
}
