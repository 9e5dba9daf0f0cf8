/**
 * What the audit keeps: 400 days, refreshes 30. Events are kept for as long as a webhook is tried and consoles may be
 * late: there is one for each refresh of each account. Deleted once an hour, some rows at a time, so that nobody waits.
 */
import { type Clock, DAY, HOUR } from '../base/clock.ts'
import { every } from '../base/every.ts'
import type { Logger } from '../base/log.ts'
import { deleteSomeEvents } from '../storage/audit-events.ts'
import { deleteSomeAudit } from '../storage/audit-log.ts'
import type { Database } from '../storage/database.ts'
import { inBatches } from '../storage/in-batches.ts'

const KEPT_MS = 400 * DAY
const REFRESHES_KEPT_MS = 30 * DAY
const EVENTS_KEPT_MS = 2 * DAY

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
    const isStopped = () => this.#isStopped
    const all = { before: now - KEPT_MS }
    const refreshes = { before: now - REFRESHES_KEPT_MS, type: 'credential.refreshed' } as const
    for (const old of [all, refreshes])
      await inBatches((limit) => deleteSomeAudit(this.#database, { ...old, limit }), isStopped)
    const before = now - EVENTS_KEPT_MS
    await inBatches((limit) => deleteSomeEvents(this.#database, before, limit), isStopped)
  }
}
