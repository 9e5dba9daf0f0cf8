/**
 * When keys were last used, to the minute: noted with every call, written together every few seconds.
 */
import { BoundedMap } from '../base/bounded-map.ts'
import { type Clock, MINUTE } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { WriteBehind } from '../storage/write-behind.ts'
import type { ApiKey, StoredKey } from './api-key.ts'
import type { ApiKeyStore } from './api-key-store.ts'

const MAX_NOTED = 100_000
const AT_ONCE = 500

export class KeyUses {
  readonly #clock: Clock
  /** By id, the minute in epoch ms. */
  readonly #noted = new BoundedMap<number>(MAX_NOTED)
  readonly #writes: WriteBehind<number>

  constructor(store: Pick<ApiKeyStore, 'storeUses'>, clock: Clock, log: Logger) {
    this.#clock = clock
    this.#writes = new WriteBehind({
      what: 'which keys were used',
      write: async (uses) => {
        const minutes = Map.groupBy(uses, ([, minute]) => minute)
        for (const [minute, same] of minutes)
          await store.storeUses(
            same.map(([id]) => id).sort(), // in one order everywhere, so that replicas never wait in a circle
            minute,
          )
      },
      atOnce: AT_ONCE,
      log,
    })
  }

  /** A call was made with it. The hot path. */
  note({ id }: Pick<ApiKey, 'id'>): void {
    const now = this.#clock()
    const minute = now - (now % MINUTE)
    if (this.#noted.get(id) === minute) return
    this.#noted.set(id, minute)
    this.#writes.note(id, minute)
  }

  /** Epoch ms, to the minute: as this process knows, else as its row says; null: never yet. */
  of({ id, lastUsedAt }: StoredKey): number | null {
    const noted = this.#noted.get(id)
    return noted === undefined ? lastUsedAt : Math.max(noted, lastUsedAt ?? 0)
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
