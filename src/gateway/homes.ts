/**
 * Where ids were made: a file, a response or a batch is known to one account alone, so the calls that name it go there,
 * through whichever replica. Only of keys over several configs, for with one there is nothing to choose.
 *
 * A client hears of an id no sooner than its row is written, so that every replica knows it from then on. While the
 * database is away what is made is known here, and elsewhere once it is written; it is lost if this process ends before.
 * Nobody guesses meanwhile whose an unknown id is: another account would say that there is no such thing.
 */
import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { type Clock, DAY, HOUR, SECOND, within } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { every } from '../base/every.ts'
import type { Logger } from '../base/log.ts'
import { upTo } from '../base/up-to.ts'
import type { Database } from '../storage/database.ts'
import { inBatches } from '../storage/in-batches.ts'
import { WriteBehind } from '../storage/write-behind.ts'
import type { HomeStore } from './home-store.ts'

const AT_ONCE = 500
const MAX_REMEMBERED = 20_000
/** Of those that could not be written yet; what is made then is known to this process alone. */
const MAX_UNWRITTEN = 100_000
/** An answer waits no longer for its row to be written, nor a call for one to be read. */
const MAX_WAIT_MS = 5 * SECOND
const RETRY_AFTER_SECONDS = 1

interface Home {
  readonly configId: string
  /** Epoch ms. */
  readonly expiresAt: number
}

export interface HomesParts {
  readonly store: HomeStore
  readonly database: Pick<Database, 'isAway'>
  readonly clock: Clock
  readonly log: Logger
  readonly config: { readonly resourceHomeDays: number }
}

export class Homes {
  readonly #parts: HomesParts
  readonly #known = new LRUCache<string, Home>(upTo(MAX_REMEMBERED))
  readonly #writes: WriteBehind<Home>

  constructor(parts: HomesParts) {
    this.#parts = parts
    this.#writes = new WriteBehind({
      what: 'where ids were made',
      write: (homes) => this.#write(homes),
      atOnce: AT_ONCE,
      log: parts.log,
    })
  }

  /** An id was made; whoever was the first to make it keeps it. @returns once other replicas know, or need not be waited for */
  async note(keyId: string, id: string, configId: string): Promise<void> {
    const { clock, config, database } = this.#parts
    const name = nameOf(keyId, id)
    if (this.#live(name)) return
    const home = { configId, expiresAt: clock() + config.resourceHomeDays * DAY }
    this.#known.set(name, home)
    if (this.#writes.size >= MAX_UNWRITTEN) return
    this.#writes.note(name, home)
    if (!database.isAway) await within(MAX_WAIT_MS, this.#writes.flush())
  }

  /** The configs that made these, each once. @throws BrokerError storage_unavailable if that cannot be known just now */
  async find(keyId: string, ids: readonly string[]): Promise<readonly string[]> {
    const names = ids.map((id) => nameOf(keyId, id))
    const unknown = names.filter((name) => !this.#live(name))
    if (unknown.length > 0) await this.#lookUp(unknown)
    return [...new Set(names.flatMap((name) => this.#live(name)?.configId ?? []))]
  }

  async #lookUp(names: readonly string[]): Promise<void> {
    const { database } = this.#parts
    const read = async () => {
      await this.#read(names)
      return true
    }
    const isRead =
      !database.isAway &&
      (await within(
        MAX_WAIT_MS,
        read().catch(() => false),
      ))
    if (!isRead) throw new BrokerError('storage_unavailable', { retryAfterSeconds: RETRY_AFTER_SECONDS })
  }

  start(): void {
    this.#writes.start()
  }

  /** Writes what was noted so far. */
  stop(): Promise<void> {
    return this.#writes.stop()
  }

  /** Once an hour, what has been kept long enough. @returns ends it */
  startClearing(): () => void {
    let isStopped = false
    const { store, clock, log } = this.#parts
    const stop = every(HOUR, () =>
      inBatches(
        (limit) => store.deleteSomeExpired(clock(), limit),
        () => isStopped,
      ).catch((error: unknown) => log.warn({ err: error }, 'old homes of ids stay')),
    )
    return () => {
      isStopped = true
      void stop()
    }
  }

  #live(name: string): Home | undefined {
    const home = this.#known.get(name)
    return home && home.expiresAt > this.#parts.clock() ? home : undefined
  }

  async #write(homes: readonly (readonly [name: string, home: Home])[]): Promise<void> {
    const rows = homes.map(([id_hash, { configId: config_id, expiresAt: expires_at }]) => ({
      id_hash,
      config_id,
      expires_at,
    }))
    const added = await this.#parts.store.add(rows)
    // Somebody was before us: what the table says holds.
    if (added < rows.length) await this.#read(rows.map(({ id_hash }) => id_hash))
  }

  async #read(names: readonly string[]): Promise<void> {
    for (const { id_hash, config_id, expires_at } of await this.#parts.store.find(names))
      this.#known.set(id_hash, { configId: config_id, expiresAt: Number(expires_at) })
  }
}

/** What may name accounts of others is no text that anybody should read. */
function nameOf(keyId: string, id: string): string {
  return hash('sha256', `${keyId} ${id}`, 'base64url')
}
