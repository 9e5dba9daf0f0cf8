/**
 * What was read of rows, until they change.
 *
 * Reads of the same thing at the same time are one, so that a change does not send a thousand callers to the
 * database at once.
 */
import { LRUCache } from 'lru-cache'
import { SingleFlight } from '../base/single-flight.ts'
import { upTo } from '../base/up-to.ts'
import type { ChangeWatcher } from './changes.ts'

/** Of one row, whatever it is looked up by. */
export class RowCache<Value extends { readonly id: string }> {
  readonly #changes: ChangeWatcher
  readonly #known: LRUCache<string, Held<Value>>
  /** Only those that began after the last change: the others may bring what is no longer so. */
  readonly #reads = new SingleFlight<Value>()

  constructor(changes: ChangeWatcher, max: number) {
    this.#changes = changes
    this.#known = new LRUCache(upTo(max))
    changes.onChange(() => this.#reads.clear())
  }

  get(key: string): Value | undefined {
    const held = this.#known.get(key)
    if (!held) return undefined
    const { seen } = this.#changes
    if (held.seen === seen) return held.value
    if (this.#changes.hasChanged(held.value.id, held.seen)) {
      this.#known.delete(key)
      return undefined
    }
    held.seen = seen
    return held.value
  }

  /** Failures are told to all who wait, and not remembered. */
  load(key: string, read: () => Promise<Value>): Promise<Value> {
    return this.#reads.run(key, async () => {
      const { seen } = this.#changes
      const value = await read()
      this.#known.set(key, { value, seen })
      return value
    })
  }
}

interface Held<Value> {
  readonly value: Value
  /** The changes that were known of when it was read, or when it was last found to be as it was. */
  seen: number
}
