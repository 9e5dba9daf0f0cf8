/**
 * Refreshes idle and soon-due credentials in the background, so that callers rarely wait and unused logins live on.
 *
 * Every replica sweeps; the lease in the row makes it one effect. Each credential has its own moment (sweep-moment.ts).
 */
import { LRUCache } from 'lru-cache'
import { DAY, MINUTE, SECOND } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { upTo } from '../base/up-to.ts'
import type { Provider } from '../provider/provider.ts'
import { isStored } from '../provider/renewal-class.ts'
import { recordEventOnce } from '../storage/audit-events.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import type { Database } from '../storage/database.ts'
import type { Credential } from './credential.ts'
import type { CredentialReader } from './credential-reader.ts'
import type { Refresher } from './refresh.ts'
import { SweepLane } from './sweep-lane.ts'

export interface SweeperParts {
  readonly database: Database
  readonly store: Pick<CredentialReader, 'loadMany' | 'soonDue' | 'providersWithSoonDue'>
  readonly refresher: Pick<Refresher, 'refreshInBackground' | 'isHeld'>
  readonly providers: ReadonlyMap<string, Provider>
  readonly changes: Pick<ChangeWatcher, 'seen' | 'clock'>
  readonly log: Logger
}

const SWEEP_EVERY_MS = 4 * SECOND
const WARN_BEFORE_MS = 3 * DAY
/** A row that cannot be read is looked at again then, should it be mended without being written. */
const LOOK_AGAIN_MS = 5 * MINUTE
const MAX_UNREADABLE = 10_000
/** What is still as it was then is looked at again. */
const SEEN_FOR_MS = 5 * SECOND
/** Of all lanes together: the room is taken up at once, and there are two lanes for each provider. */
const MAX_SEEN = 20_000

export class Sweeper {
  readonly #parts: SweeperParts
  #lanes: readonly SweepLane[] | undefined
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(parts: SweeperParts) {
    this.#parts = parts
  }

  start(): void {
    if (this.#isStopped) return
    const pause = SWEEP_EVERY_MS * (0.75 + Math.random() / 2)
    this.#timer = setTimeout(async () => {
      await this.#beginRounds().catch((error: unknown) => this.#warn(error))
      this.start()
    }, pause).unref()
  }

  stop(): void {
    this.#isStopped = true
    for (const lane of this.#lanes ?? []) lane.stop()
    clearTimeout(this.#timer)
  }

  /** One round of everything, to its end. @throws BrokerError storage_unavailable */
  async sweep(): Promise<void> {
    const lanes = await this.#lanesWithWork()
    await Promise.all(lanes.map((lane) => lane.round()))
  }

  async #beginRounds(): Promise<void> {
    const lanes = await this.#lanesWithWork()
    for (const lane of lanes) lane.round().catch((error: unknown) => this.#warn(error))
  }

  #warn(error: unknown): void {
    this.#parts.log.warn({ err: error }, 'sweep')
  }

  async #lanesWithWork(): Promise<readonly SweepLane[]> {
    const { store, providers, refresher, changes } = this.#parts
    const asked = [...providers.values()].filter(
      (provider) => isStored(provider) && !refresher.isHeld(provider),
    )
    this.#lanes ??= this.#layLanes() // before anything is waited for: `stop` ends what there is
    const lanes = this.#lanes
    const found = await store.providersWithSoonDue(asked, changes.clock())
    return lanes.filter(({ provider }) => found.has(provider.name))
  }

  #layLanes(): SweepLane[] {
    const lane = {
      ...this.#parts,
      look: (credential: Credential) => this.#warnIfLapsing(credential),
      unreadable: new LRUCache<string, string>({ ...upTo(MAX_UNREADABLE), ttl: LOOK_AGAIN_MS }),
      seen: new LRUCache<string, true>({ ...upTo(MAX_SEEN), ttl: SEEN_FOR_MS }),
    }
    return [...this.#parts.providers.values()]
      .filter(isStored)
      .flatMap((provider) => [
        new SweepLane(lane, provider, 'living'),
        new SweepLane(lane, provider, 'ended'),
      ])
  }

  /** Some servers say how long a refresh token lives; a person should hear of its end before callers do. */
  async #warnIfLapsing({ configId, tokens: { metadata, receivedAt } }: Credential): Promise<void> {
    const now = this.#parts.changes.clock()
    const seconds = metadata['refresh_expires_in'] ?? metadata['refresh_token_expires_in']
    if (typeof seconds !== 'number' || seconds <= 0 || receivedAt === undefined) return
    const lapsesAt = receivedAt + seconds * SECOND
    if (now < lapsesAt - Math.min(WARN_BEFORE_MS, (seconds * SECOND) / 5)) return
    const reason = `the refresh token ends at ${new Date(lapsesAt).toISOString()}`
    await recordEventOnce(this.#parts.database, { type: 'credential.expiring', configId, reason }, now - DAY)
  }
}
