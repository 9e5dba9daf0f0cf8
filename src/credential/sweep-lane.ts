/**
 * One provider's half of the sweep.
 *
 * What lives and what has ended go in lanes of their own, and so does each provider: a server that hangs, or logins
 * that nothing can be done about, hold up nobody else.
 *
 * Replicas share the work without knowing of each other. Each takes some at random out of those that end soonest and
 * that nobody has leased, and looks again for the next some: they rarely meet, and where they do, the lease in the row
 * lets one of them through.
 */
import type { LRUCache } from 'lru-cache'
import { SECOND, within } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Provider } from '../provider/provider.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import { type Credential, isRenewable } from './credential.ts'
import type { CredentialReader, DueRow, Half, JustRead } from './credential-reader.ts'
import type { Refresher } from './refresh.ts'
import { isSweepDue } from './sweep-moment.ts'

export interface SweepLaneParts {
  readonly store: Pick<CredentialReader, 'loadMany' | 'soonDue'>
  readonly refresher: Pick<Refresher, 'refreshInBackground' | 'isHeld'>
  readonly changes: Pick<ChangeWatcher, 'seen' | 'clock'>
  readonly log: Logger
  /** Called for each credential that is about to be refreshed. */
  readonly look: (credential: Credential) => Promise<void>
  /** Rows that could not be read, by config id, as they were written then; forgotten after a while. */
  readonly unreadable: LRUCache<string, string>
  /** Rows as they were when they were looked at a moment ago: somebody else's, or such as nothing could be done about. */
  readonly seen: LRUCache<string, true>
}

/** Of those that are due a share is taken at random out of so many, the soonest end first. */
const WINDOW = 1_000
const SHARE = 64
/** More than ask the server at the same time, for rows are read and written before and after. */
const VISITS_A_TURN = 1.5
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

  /** Visits each that is due, until there is none; the round under way, if there is one. @throws BrokerError storage_unavailable */
  round(): Promise<void> {
    this.#running ??= this.#round().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #round(): Promise<void> {
    const due = this.#due()
    const visits = Math.ceil(this.provider.refresh.atOnce * VISITS_A_TURN)
    const workers = Array.from({ length: visits }, () => this.#work(due))
    const failed = (await Promise.allSettled(workers)).find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') throw failed.reason
  }

  async #work(due: AsyncIterable<JustRead>): Promise<void> {
    for await (const one of due) {
      if (this.#mayNot()) return
      await this.#visit(one)
    }
  }

  #mayNot(): boolean {
    return this.#isStopped || this.#parts.refresher.isHeld(this.provider)
  }

  /** Share after share, each read when its turn has come, until there is nobody who was not seen a moment ago. */
  async *#due(): AsyncGenerator<JustRead, void> {
    for (;;) {
      const share = await this.#share()
      if (share.length === 0) return
      for (const row of share) this.#parts.seen.set(markOf(row), true)
      yield* await this.#opened(share)
    }
  }

  /** Some of those that are due now, the soonest end first. */
  async #share(): Promise<DueRow[]> {
    const { store, changes } = this.#parts
    const now = changes.clock()
    const window: DueRow[] = []
    for await (const row of store.soonDue(this.provider, this.#half, now)) {
      const isNow = isSweepDue({ configId: row.configId, provider: this.provider, tokens: row }, now)
      if (isNow && !this.#parts.seen.has(markOf(row)) && !this.#isUnreadable(row)) window.push(row)
      if (window.length === WINDOW) break
    }
    return someOf(window, SHARE)
  }

  /** As it was when it could not be read: a new login or a changed config is looked at at once. */
  #isUnreadable(row: DueRow): boolean {
    return this.#parts.unreadable.get(row.configId) === markOf(row)
  }

  /** Those that are still due: a caller may have renewed one since its share was read, and asks for no other. */
  async #opened(share: readonly DueRow[]): Promise<JustRead[]> {
    const { store, log, unreadable, changes } = this.#parts
    const { seen } = changes
    const rows = new Map(share.map((row) => [row.configId, row]))
    const credentials = await store.loadMany([...rows.keys()], (configId, error) => {
      log.warn({ err: error, configId }, 'a credential could not be swept')
      const row = rows.get(configId)
      if (row) unreadable.set(configId, markOf(row))
    })
    const endOf = ({ configId }: Credential) => rows.get(configId)?.expiresAt ?? 0
    const now = changes.clock()
    const due = credentials.filter((credential) => isRenewable(credential) && isSweepDue(credential, now))
    return due.sort((one, other) => endOf(one) - endOf(other)).map((row) => ({ row, seen }))
  }

  /** Whatever is wrong with one credential is no reason to leave out the next. */
  async #visit(justRead: JustRead): Promise<void> {
    const { refresher, log, look } = this.#parts
    const { configId } = justRead.row
    try {
      await look(justRead.row)
    } catch (error) {
      log.warn({ err: error, configId }, 'sweep')
    }
    const visitedAt = Date.now()
    const flight = refresher.refreshInBackground(justRead)
    if (flight.startedAt >= visitedAt) await within(MAX_VISIT_MS, flight.done)
  }
}

function markOf({ configId, version, updatedAt }: DueRow): string {
  return `${configId} ${version} ${updatedAt}`
}

/** At random, in their order. */
function someOf<T>(all: readonly T[], count: number): T[] {
  const chosen: T[] = []
  for (const [index, one] of all.entries()) {
    const chance = (count - chosen.length) / (all.length - index)
    if (Math.random() < chance) chosen.push(one)
  }
  return chosen
}
