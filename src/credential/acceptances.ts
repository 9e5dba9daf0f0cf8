/**
 * When upstream last took a credential: the only proof that it is good for anything.
 *
 * Noted with every good answer, written once a version and then once an hour, whatever the number of replicas.
 */
import { BoundedMap } from '../base/bounded-map.ts'
import { type Clock, HOUR } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { WriteBehind } from '../storage/write-behind.ts'
import { type Credential, isOlder } from './credential.ts'
import type { CredentialStore } from './credential-store.ts'

/** An API key stays what it is where its config moves on to another base URL, but was not taken there yet. */
type Taken = Pick<Credential, 'loginAt' | 'version' | 'baseUrl'>

export interface Acceptance extends Taken {
  /** Epoch ms. */
  readonly at: number
}

/** What a row says. */
export interface AcceptanceRow {
  readonly id: string
  readonly base_url: string
  readonly oauth_login_at: number
  readonly oauth_version: number
  readonly accepted_at: number | null
  readonly accepted_version: number | null
}

export const WRITTEN_EVERY_MS = HOUR
const MAX_NOTED = 100_000

export class Acceptances {
  readonly #clock: Clock
  readonly #noted = new BoundedMap<Acceptance>(MAX_NOTED)
  readonly #writes: WriteBehind<Acceptance>

  constructor(store: Pick<CredentialStore, 'storeAcceptance'>, clock: Clock, log: Logger) {
    this.#clock = clock
    this.#writes = new WriteBehind({
      what: 'what upstream took',
      write: async ([one]) => one && store.storeAcceptance(...one),
      atOnce: 1,
      log,
    })
  }

  /** Upstream gave a good answer to this credential. The hot path: next to nothing but once an hour. */
  note(credential: Credential): void {
    const { configId, loginAt, version, baseUrl } = credential
    const now = this.#clock()
    const known = this.#noted.get(configId)
    if (known && isSame(known, credential) && now < known.at + WRITTEN_EVERY_MS) return
    if (known && isOlder(credential, known)) return // a long call that began with what was renewed since
    const acceptance = { loginAt, version, baseUrl, at: now }
    this.#noted.set(configId, acceptance)
    this.#writes.note(configId, acceptance)
  }

  /** When upstream last took what the row holds, in epoch ms: as this process knows, else as the row says. */
  of(row: AcceptanceRow): number | null {
    const { base_url: baseUrl, oauth_login_at: loginAt, oauth_version: version } = row
    const stored = row.accepted_version === version ? row.accepted_at : null
    const noted = this.#noted.get(row.id)
    if (!noted || !isSame(noted, { baseUrl, loginAt, version })) return stored
    return Math.max(noted.at, stored ?? 0)
  }

  start(): void {
    this.#writes.start()
  }

  /** Writes what was noted so far. */
  flush(): Promise<void> {
    return this.#writes.flush()
  }

  stop(): Promise<void> {
    return this.#writes.stop()
  }
}

function isSame(one: Taken, other: Taken): boolean {
  return one.version === other.version && one.loginAt === other.loginAt && one.baseUrl === other.baseUrl
}
