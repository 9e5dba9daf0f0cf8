/**
 * Work that is under way, by key: whoever asks for the same meanwhile waits for the same promise. A failure is told to
 * all who wait, and nothing is remembered once it is over.
 */
export class SingleFlight<Value> {
  readonly #running = new Map<string, Promise<Value>>()

  run(key: string, work: () => Promise<Value>): Promise<Value> {
    const running = this.#running.get(key)
    if (running) return running
    const started = work().finally(() => {
      if (this.#running.get(key) === started) this.#running.delete(key)
    })
    this.#running.set(key, started)
    return started
  }

  /** Whoever asks from now on begins anew; what is under way goes on for those who wait for it. */
  clear(): void {
    this.#running.clear()
  }
}
