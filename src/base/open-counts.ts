/**
 * How many are open of each kind of which no more than so many may be.
 */
import { BrokerError } from './errors.ts'

/** With which whoever is refused may try again. */
const RETRY_AFTER_SECONDS = 15

export class OpenCounts {
  readonly #max: number
  readonly #counts = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** One more, until it ends. @throws BrokerError rate_limit_exceeded */
  enter(name: string, end: AbortSignal): void {
    if (end.aborted) return // it left while we looked
    const count = this.#counts.get(name) ?? 0
    if (count >= this.#max)
      throw new BrokerError('rate_limit_exceeded', {
        reason: `${this.#max} are open at once, and no more may be`,
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      })
    this.#counts.set(name, count + 1)
    end.addEventListener('abort', () => this.#leave(name), { once: true })
  }

  #leave(name: string): void {
    const left = (this.#counts.get(name) ?? 1) - 1
    if (left > 0) this.#counts.set(name, left)
    else this.#counts.delete(name)
  }
}
