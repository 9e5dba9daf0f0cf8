/**
 * One provider's half of the sweep, a few credentials at a time.
 *
 * What lives and what has ended go in lanes of their own, and so does each provider: a server that hangs, or logins
 * that nothing can be done about, hold up nobody else.
 */
import type { LRUCache } from 'lru-cache'
import { type Clock, SECOND, within } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Provider } from '../provider/provider.ts'
import { type Credential, isRenewable } from './credential.ts'
import type { CredentialReader, DueRow, Half } from './credential-reader.ts'
import type { Refresher } from './refresh.ts'
import { isSweepDue } from './sweep-moment.ts'

export interface SweepLaneParts {
  readonly store: Pick<CredentialReader, 'load' | 'soonDue'>
  readonly refresher: Pick<Refresher, 'refresh' | 'isHeld'>
  readonly clock: Clock
  readonly log: Logger
  /** Called for each credential that is about to be refreshed. */
  readonly look: (credential: Credential) => Promise<void>
  /** Rows that could not be read, by config id, as they were written then; forgotten after a while. */
  readonly unreadable: LRUCache<string, string>
}

/** Together as many as may ask a server at once (server-probe.ts). */
const AT_ONCE: Readonly<Record<Half, number>> = { living: 24, ended: 8 }
/** Longer than a lease. A refresh that takes longer goes on, but nobody behind it is kept waiting. */
const MAX_VISIT_MS = 35 * SECOND

export class SweepLane {
  readonly provider: Provider
  readonly #parts: SweepLaneParts
  readonly #half: Half
  #running: Promise<void> | undefined
  #isStopped = false

  constructor(parts: SweepLaneParts, provider: Provider, half: Half) {
    this.provider = provider
    this.#parts = parts
    this.#half = half
  }

  stop(): void {
    this.#isStopped = true
  }

  /** Visits all that are due now; the round under way, if there is one. @throws BrokerError storage_unavailable */
  round(): Promise<void> {
    this.#running ??= this.#round().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #round(): Promise<void> {
    const { store, clock } = this.#parts
    const rows = store.soonDue(this.provider, this.#half, clock())
    const workers = Array.from({ length: AT_ONCE[this.#half] }, () => this.#work(rows))
    const failed = (await Promise.allSettled(workers)).find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') throw failed.reason
  }

  async #work(rows: AsyncIterable<DueRow>): Promise<void> {
    for await (const row of rows) {
      if (this.#isStopped || this.#parts.refresher.isHeld(this.provider.name)) return
      const { configId } = row
      const isNow = isSweepDue({ configId, provider: this.provider, tokens: row }, this.#parts.clock())
      if (isNow && !this.#isUnreadable(row)) await this.#visit(row)
    }
  }

  /** As it was when it could not be read: a new login or a changed config is looked at at once. */
  #isUnreadable(row: DueRow): boolean {
    return this.#parts.unreadable.get(row.configId) === markOf(row)
  }

  /** Whatever is wrong with one credential is no reason to leave out the next. */
  async #visit(row: DueRow): Promise<void> {
    const { store, refresher, log, look, unreadable } = this.#parts
    const { configId } = row
    try {
      const credential = await store.load(configId)
      if (!credential || !isRenewable(credential)) return
      await look(credential).catch((error: unknown) => log.warn({ err: error, configId }, 'sweep'))
      const visitedAt = Date.now()
      const flight = refresher.refresh(credential)
      if (flight.startedAt >= visitedAt) await within(MAX_VISIT_MS, flight.done)
    } catch (error) {
      log.warn({ err: error, configId }, 'a credential could not be swept')
      if (!(error instanceof BrokerError && error.code === 'storage_unavailable')) {
        unreadable.set(configId, markOf(row))
      }
    }
  }
}

function markOf({ version, updatedAt }: DueRow): string {
  return `${version} ${updatedAt}`
}
