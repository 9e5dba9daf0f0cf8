/**
 * Measures again what the host disturbed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { MAX_STOLEN, processorTime, shareStolenSince } from '../support/stolen-time.ts'

const PAUSE_MS = 3_000
/** For all repetitions of a run together; after it measurements are kept as they come. */
const MAX_REPEATING_MS = 10 * 60_000

export class Disturbance {
  readonly #say: (text: string) => void
  #measurements = 0
  #repeated = 0
  #keptDisturbed = 0
  #repeatingMs = 0
  readonly #failures: string[] = []

  constructor(say: (text: string) => void) {
    this.#say = say
  }

  /** Measures again if it was disturbed, also if it failed then. */
  async measure<Result>(name: string, run: () => Promise<Result>): Promise<Result> {
    for (;;) {
      const startedAt = performance.now()
      const before = processorTime()
      const [outcome] = await Promise.allSettled([run()])
      const stolen = shareStolenSince(before)
      const isDisturbed = stolen > MAX_STOLEN
      this.#measurements += 1
      if (!isDisturbed || this.#repeatingMs > MAX_REPEATING_MS) {
        if (isDisturbed) this.#keptDisturbed += 1
        if (outcome.status === 'rejected') throw outcome.reason
        return outcome.value
      }
      this.#repeated += 1
      if (outcome.status === 'rejected') this.#failures.push(`${name}: ${outcome.reason}`)
      this.#say(`${name} again: ${Math.round(100 * stolen)} % of the processor time was taken away`)
      await sleep(PAUSE_MS)
      this.#repeatingMs += performance.now() - startedAt
    }
  }

  /** For the report. */
  describe(): string {
    if (this.#repeated + this.#keptDisturbed === 0) return 'No measurement was disturbed by the host.'
    const failed = this.#failures.length === 0 ? '' : ` (failed meanwhile: ${this.#failures.join('; ')})`
    return `The host took more than ${100 * MAX_STOLEN} % of the processor time away from ${this.#repeated + this.#keptDisturbed} of ${this.#measurements} measurements: ${this.#repeated} were made again${failed}, ${this.#keptDisturbed} kept.`
  }
}
