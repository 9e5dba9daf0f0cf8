import { SECOND } from '../base/clock.ts'
import { MAX_WATCH_MS } from '../credential/refresh-machine.ts'

/** Where thousands stop waiting at once, the last of them hears of it so much later. */
const TOLD_WITHIN_MS = SECOND

/** How much longer a caller waits for refreshes, over all the configs it tries (invariant I7). */
export class Patience {
  #leftMs = MAX_WATCH_MS - TOLD_WITHIN_MS

  async waitFor<Found>(find: (patienceMs: number) => Promise<Found>): Promise<Found> {
    const since = performance.now()
    try {
      return await find(Math.max(0, this.#leftMs))
    } finally {
      this.#leftMs -= performance.now() - since
    }
  }
}
