/**
 * Reads of rows by their keys, few at a time: what is asked for while those are under way is read together. A read
 * never begins before it was asked for.
 */
export interface TogetherParts<Key, Value> {
  /** Reads under way at most. */
  readonly atOnce: number
  /** Keys in one of them at most. */
  readonly most: number
  /** Those that there are. */
  readonly read: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Value>>
}

export class ReadTogether<Key, Value> {
  readonly #parts: TogetherParts<Key, Value>
  /** Asked for, and not yet being read; in their order. */
  readonly #waiting = new Map<Key, PromiseWithResolvers<Value | undefined>>()
  #underWay = 0

  constructor(parts: TogetherParts<Key, Value>) {
    this.#parts = parts
  }

  /** Undefined if there is none. Rejects as the read does. */
  get(key: Key): Promise<Value | undefined> {
    const asked = this.#waiting.get(key) ?? Promise.withResolvers<Value | undefined>()
    this.#waiting.set(key, asked)
    if (this.#underWay < this.#parts.atOnce) void this.#readOn()
    return asked.promise
  }

  async #readOn(): Promise<void> {
    this.#underWay += 1
    while (this.#waiting.size > 0) {
      const some = [...this.#waiting].slice(0, this.#parts.most)
      for (const [key] of some) this.#waiting.delete(key)
      try {
        const found = await this.#parts.read(some.map(([key]) => key))
        for (const [key, { resolve }] of some) resolve(found.get(key))
      } catch (error) {
        for (const [, { reject }] of some) reject(error)
      }
    }
    this.#underWay -= 1
  }
}
