/**
 * Configs that are out for a while, for everybody or for one key alone (failover.ts). Known to this process only.
 *
 * After its time one call goes through as a probe while the others still go elsewhere (half-open); nothing stays
 * out for long because of a single answer.
 */
import { LRUCache } from 'lru-cache'
import { MINUTE, SECOND } from '../base/clock.ts'
import { upTo } from '../base/up-to.ts'

interface Pause {
  until: number
  /** Epoch ms at which a probe was let through; -Infinity: none yet. */
  probedAt: number
}

const MAX_PAUSE_MS = 10 * MINUTE
/** A key makes one for each of its configs at most; the oldest are forgotten first. */
const MAX_PAUSES = 10_000
/** A probe that has not come back by then does not keep the next one waiting. */
const PROBE_MS = 30 * SECOND

export class Cooldowns {
  readonly #pauses = new LRUCache<string, Pause>(upTo(MAX_PAUSES))

  /** Whether a call of this key may try this config now. */
  isAvailable(configId: string, keyId: string, now: number = Date.now()): boolean {
    if (this.#pauses.size === 0) return true
    const isOver = (pause: Pause | undefined) =>
      !pause || (now >= pause.until && now - pause.probedAt >= PROBE_MS)
    return isOver(this.#pauses.get(configId)) && isOver(this.#pauses.get(forKey(configId, keyId)))
  }

  /** A call tries it. If it rested, this is the probe. */
  trying(configId: string, keyId: string, now: number = Date.now()): void {
    if (this.#pauses.size === 0) return
    for (const id of [configId, forKey(configId, keyId)]) {
      const pause = this.#pauses.get(id)
      if (pause) pause.probedAt = now
    }
  }

  /** @param keyId undefined: for everybody */
  pause(configId: string, keyId: string | undefined, ms: number, now: number = Date.now()): void {
    this.#pauses.set(keyId === undefined ? configId : forKey(configId, keyId), {
      until: now + Math.min(ms, MAX_PAUSE_MS),
      probedAt: Number.NEGATIVE_INFINITY,
    })
  }

  /** It answered. */
  resume(configId: string, keyId: string): void {
    if (this.#pauses.size === 0) return
    this.#pauses.delete(configId)
    this.#pauses.delete(forKey(configId, keyId))
  }
}

/** What rests for this key alone. */
function forKey(configId: string, keyId: string): string {
  return `${configId} ${keyId}`
}
