/**
 * What was read of the tables, until they change.
 *
 * Reads of the same thing at the same time are one, so that a change does not send a thousand callers to the
 * database at once.
 */
import { LRUCache } from 'lru-cache'
import type { ChangeWatcher } from './changes.ts'

export class RowCache<Value extends object> {
  readonly #changes: ChangeWatcher
  readonly #known: LRUCache<string, Value>
  /** Only those that began after the last change: the others may bring what is no longer so. */
  readonly #reads = new Map<string, Promise<Value>>()

  constructor(changes: ChangeWatcher, max: number) {
    this.#changes = changes
    this.#known = new LRUCache({ max })
    changes.onChange(() => {
      this.#known.clear()
      this.#reads.clear()
    })
  }

  get(id: string): Value | undefined {
    return this.#known.get(id)
  }

  /** Failures are told to all who wait, and not remembered. */
  load(id: string, read: () => Promise<Value>): Promise<Value> {
    const running = this.#reads.get(id)
    if (running) return running
    const { seen } = this.#changes
    const started = read()
      .then((value) => {
        if (seen === this.#changes.seen) this.#known.set(id, value)
        return value
      })
      .finally(() => {
        if (this.#reads.get(id) === started) this.#reads.delete(id)
      })
    this.#reads.set(id, started)
    return started
  }
}
