/**
 * Who may call: finds the record of a key that a caller shows.
 */
import { LRUCache } from 'lru-cache'
import { MINUTE } from '../base/clock.ts'
import { sha256 } from '../base/digest.ts'
import { BrokerError } from '../base/errors.ts'
import { upTo } from '../base/up-to.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import { RowCache } from '../storage/row-cache.ts'
import { type FoundKey, isKey } from './api-key.ts'
import type { ApiKeyStore } from './api-key-store.ts'
import { deletedKey, expiredKey, notAKey, replacedKey, unknownKey } from './refused-key.ts'

const MAX_CACHED = 100_000
const MAX_UNKNOWN = 10_000
/** While the database is away, keys go on working this long (invariant I3). */
const MAX_SILENCE_MS = 5 * MINUTE

export class ApiKeys {
  readonly #store: Pick<ApiKeyStore, 'find'>
  readonly #changes: ChangeWatcher
  /** By the key as it is shown. */
  readonly #known: RowCache<FoundKey>
  /** Digests that belong to nobody, so that a wrong key does not cost a query each time. */
  readonly #unknown = new LRUCache<string, () => BrokerError>(upTo(MAX_UNKNOWN))

  constructor(store: Pick<ApiKeyStore, 'find'>, changes: ChangeWatcher) {
    this.#store = store
    this.#changes = changes
    this.#known = new RowCache(changes, MAX_CACHED)
    changes.onChange((changed) => {
      if (!changed || changed.some(({ kind }) => kind === 'key')) this.#unknown.clear()
    })
  }

  /**
   * The key's record while it is cached: the hot path, and so without its digest, which would cost a call a thirtieth of
   * what it takes. Timing tells nothing about a key: a map compares what has the same hash, whose seed nobody knows.
   *
   * @throws BrokerError invalid_api_key | storage_unavailable
   */
  peek(presented: string | undefined): FoundKey | undefined {
    const known = presented === undefined ? undefined : this.#known.get(presented)
    if (!known) return undefined
    if (this.#changes.silentForMs > MAX_SILENCE_MS) {
      throw new BrokerError('storage_unavailable', { retryAfterSeconds: 5 })
    }
    return this.#checked(known)
  }

  /** The key's record. @throws BrokerError invalid_api_key | storage_unavailable */
  async authenticate(presented: string | undefined): Promise<FoundKey> {
    const known = this.peek(presented)
    if (known) return known
    if (presented === undefined || !isKey(presented)) throw notAKey(presented)
    return this.#checked(await this.#known.load(presented, () => this.#read(sha256(presented))))
  }

  async #read(digest: string): Promise<FoundKey> {
    const refused = this.#unknown.get(digest)
    if (refused) throw refused()
    const { seen } = this.#changes
    const found = await this.#store.find(digest)
    if (typeof found === 'object') return found
    const why = found === 'deleted' ? deletedKey : unknownKey
    if (seen === this.#changes.seen) this.#unknown.set(digest, why)
    throw why()
  }

  #checked(found: FoundKey): FoundKey {
    if (found.replacedAt === null && found.expiresAt === null) return found
    const now = this.#changes.clock()
    if (found.replacedAt !== null && now >= found.replacedAt) throw replacedKey()
    if (found.expiresAt !== null && now >= found.expiresAt) throw expiredKey()
    return found
  }
}
