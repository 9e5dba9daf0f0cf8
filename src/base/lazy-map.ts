/** A map, of which some values are made when they are asked for. To make one must not fail. */
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
    return this.#whole().values()
  }

  override entries() {
    return this.#whole().entries()
  }

  override [Symbol.iterator]() {
    return this.entries()
  }

  override forEach(each: (value: Value, key: Key, map: Map<Key, Value>) => void): void {
    this.#whole().forEach(each)
  }

  #whole(): Map<Key, Value> {
    const whole = new Map<Key, Value>()
    for (const key of this.keys()) whole.set(key, this.get(key) as Value)
    return whole
  }
}
