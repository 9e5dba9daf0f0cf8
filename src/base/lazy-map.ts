/** A map that is filled once, and of which some values are made when they are asked for. To make one must not fail. */
export class LazyMap<Key, Value> extends Map<Key, Value> {
  readonly #later = new Map<Key, () => Value>()

  setLater(key: Key, make: () => Value): void {
    super.set(key, undefined as Value) // in its place among the others
    this.#later.set(key, make)
  }

  /** Those that are there without being asked for. */
  made(): Value[] {
    return [...super.entries()].filter(([key]) => !this.#later.has(key)).map(([, value]) => value)
  }

  override get(key: Key): Value | undefined {
    const make = this.#later.get(key)
    if (make) {
      super.set(key, make())
      this.#later.delete(key)
    }
    return super.get(key)
  }

  override values() {
    this.#makeAll()
    return super.values()
  }

  override entries() {
    this.#makeAll()
    return super.entries()
  }

  override [Symbol.iterator]() {
    return this.entries()
  }

  override forEach(each: (value: Value, key: Key, map: Map<Key, Value>) => void): void {
    this.#makeAll()
    super.forEach(each)
  }

  #makeAll(): void {
    for (const key of this.#later.keys()) this.get(key)
  }
}
