/**
 * Where credentials stand as far as this process and the journals of its DATA_DIR know.
 *
 * A database can go back to an earlier state: an older replica is promoted, a backup restored. Its rows then hold
 * refresh tokens that were spent long ago, and nothing in them says so. What was once seen outranks such a row.
 * Tokens come from the cache and the journal; for all others only where they stood is remembered.
 */
import { type Credential, isOlder, renewedBy, type Standing } from './credential.ts'
import type { CredentialCache } from './credential-cache.ts'
import type { Journal } from './journal.ts'

/** What is known beyond a row that went back. */
export interface Ahead {
  /** Undefined where nothing but the fact is left. */
  readonly credential: Credential | undefined
  /** The login had ended: there is nothing to look for. */
  readonly isOver: boolean
  /** How long this process has seen the row behind, in ms. */
  readonly forMs: number
}

interface Known extends Standing {
  readonly isOver: boolean
  /** Epoch ms by this machine's clock; undefined while the row is not behind. */
  readonly behindSince?: number | undefined
}

export class Knowledge {
  readonly #cache: CredentialCache
  readonly #journal: Pick<Journal, 'last' | 'standings'>
  readonly #known = new Map<string, Known>()

  constructor(cache: CredentialCache, journal: Pick<Journal, 'last' | 'standings'>) {
    this.#cache = cache
    this.#journal = journal
  }

  /** A row as it was read or written, or an answer that no row holds yet. */
  note(configId: string, { loginAt, version }: Standing, isOver = false): void {
    const known = this.#known.get(configId)
    if (!known || isOlder(known, { loginAt, version }))
      this.#known.set(configId, { loginAt, version, isOver })
  }

  forget(configId: string): void {
    this.#known.delete(configId)
  }

  /** Where a credential stands as far as this process itself has seen. */
  standing(configId: string): Standing | undefined {
    return this.#known.get(configId)
  }

  /** The newest that this process has in memory, as its row was when it was read. */
  held(configId: string): Credential | undefined {
    return this.#cache.newest(configId)
  }

  /** Where this row stands, or the newest that is known of it: what is newer than that is newer than all. */
  newestStanding(row: Credential): Standing {
    const known = this.#known.get(row.configId)
    const { loginAt, version } = known && isOlder(row, known) ? known : row
    return { loginAt, version }
  }

  /** Every credential that a row could be behind of, and where it stands. @throws BrokerError storage_unavailable */
  *standings(): Generator<[string, Standing]> {
    const journalled = this.#journal.standings()
    for (const [configId, place] of journalled) {
      const known = this.#known.get(configId)
      yield [configId, known && isOlder(place, known) ? known : place]
    }
    for (const [configId, known] of this.#known) if (!journalled.has(configId)) yield [configId, known]
  }

  /** Undefined if the row is the newest there is. @throws BrokerError storage_unavailable */
  ahead(row: Credential): Ahead | undefined {
    const { configId } = row
    const known = this.#known.get(configId) ?? { ...NOTHING, isOver: false }
    const credential = this.#newest(row)
    if (!isOlder(row, known) && (!credential || !isOlder(row, credential))) {
      if (known.behindSince !== undefined) this.#known.set(configId, { ...known, behindSince: undefined })
      return undefined
    }
    // Its holder is about to store this very answer.
    const { id, leaseIsLive } = row.attempt
    if (leaseIsLive && id && credential?.attempt.lastId === id) return undefined
    const behindSince = known.behindSince ?? Date.now()
    this.#known.set(configId, { ...known, behindSince })
    return {
      credential: credential && !isOlder(credential, known) ? credential : undefined,
      isOver: known.isOver,
      forMs: Date.now() - behindSince,
    }
  }

  /** The newest tokens at hand, with the config as it is in the row. */
  #newest(row: Credential): Credential | undefined {
    const newest = this.#cache.newest(row.configId)
    const { provider, baseUrl } = row
    const cached = newest && { ...newest, provider, baseUrl }
    const entry = this.#journal.last(row.configId)
    if (!entry) return cached
    const journalled: Credential = {
      ...renewedBy(row, entry.tokens, entry.attemptId),
      loginAt: entry.loginAt,
      version: entry.fromVersion + 1,
    }
    return cached && !isOlder(cached, journalled) ? cached : journalled
  }
}

const NOTHING: Standing = { loginAt: -1, version: -1 }
