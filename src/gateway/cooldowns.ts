/**
 * Configs that are out for a while: over quota, unreachable, in need of a login. Known to this process only.
 *
 * After its time one call goes through as a probe while the others still go elsewhere (half-open); nothing stays
 * out for long because of a single answer.
 */
import { MINUTE, SECOND } from '../base/clock.ts'

interface Pause {
  until: number
  /** Epoch ms at which a probe was let through; -Infinity: none yet. */
  probedAt: number
}

const MAX_PAUSE_MS = 10 * MINUTE
/** A probe that has not come back by then does not keep the next one waiting. */
const PROBE_MS = 30 * SECOND

export class Cooldowns {
  readonly #pauses = new Map<string, Pause>()

  /** Whether a call may try this config now. */
  isAvailable(configId: string, now: number = Date.now()): boolean {
    const pause = this.#pauses.get(configId)
    return !pause || (now >= pause.until && now - pause.probedAt >= PROBE_MS)
  }

  /** A call tries it. If it rested, this is the probe. */
  trying(configId: string, now: number = Date.now()): void {
    const pause = this.#pauses.get(configId)
    if (pause) pause.probedAt = now
  }

  pause(configId: string, ms: number, now: number = Date.now()): void {
    this.#pauses.set(configId, {
      until: now + Math.min(ms, MAX_PAUSE_MS),
      probedAt: Number.NEGATIVE_INFINITY,
    })
  }

  /** It answered. */
  resume(configId: string): void {
    if (this.#pauses.size > 0) this.#pauses.delete(configId)
  }
}
