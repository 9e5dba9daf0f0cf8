/**
 * What a process has gathered, written every few seconds, one write at a time, and once more at the end.
 */
import { SECOND } from '../base/clock.ts'
import { every } from '../base/every.ts'

const EVERY_MS = 10 * SECOND

export abstract class RepeatedWrite {
  #stop: (() => void) | undefined
  #flight: Promise<void> = Promise.resolve()

  /** All there is. What cannot be written stays gathered; never rejects. */
  protected abstract writeAll(): Promise<void>

  /** Writes every few seconds from now on. */
  start(): void {
    this.#stop = every(EVERY_MS, () => this.flush())
  }

  /** The last, too. */
  async stop(): Promise<void> {
    this.#stop?.()
    await this.flush()
  }

  /** What was gathered so far; one write at a time. */
  flush(): Promise<void> {
    this.#flight = this.#flight.then(() => this.writeAll())
    return this.#flight
  }
}
