/**
 * What calls hold in memory of their bodies, so that they can be sent again: bounded for each key, and in total.
 */
import { BrokerError } from '../base/errors.ts'

const MIB = 1024 * 1024
const MAX_BYTES_A_KEY = 64 * MIB
const RETRY_AFTER_SECONDS = 1

export class HeldBodies {
  readonly #maxBytes: number
  readonly #maxBytesAKey: number
  readonly #ofKeys = new Map<string, number>()
  #bytes = 0

  /** @param maxBytes of all keys together */
  constructor(maxBytes: number, maxBytesAKey = MAX_BYTES_A_KEY) {
    this.#maxBytes = maxBytes
    this.#maxBytesAKey = maxBytesAKey
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @throws BrokerError rate_limit_exceeded | overloaded */
  add(keyId: string, bytes: number): void {
    const ofKey = (this.#ofKeys.get(keyId) ?? 0) + bytes
    if (ofKey > this.#maxBytesAKey) {
      const reason = `the bodies of this key's open calls may hold ${this.#maxBytesAKey / MIB} MiB together`
      throw new BrokerError('rate_limit_exceeded', { reason, retryAfterSeconds: RETRY_AFTER_SECONDS })
    }
    if (this.#bytes + bytes > this.#maxBytes) {
      const detail = 'bodies hold as much memory as they may'
      throw new BrokerError('overloaded', { detail, retryAfterSeconds: RETRY_AFTER_SECONDS })
    }
    this.#ofKeys.set(keyId, ofKey)
    this.#bytes += bytes
  }

  remove(keyId: string, bytes: number): void {
    const ofKey = (this.#ofKeys.get(keyId) ?? 0) - bytes
    if (ofKey > 0) this.#ofKeys.set(keyId, ofKey)
    else this.#ofKeys.delete(keyId)
    this.#bytes -= bytes
  }
}

/** What one call holds, until it is over. */
export class Hold {
  readonly #held: HeldBodies
  readonly #keyId: string
  #bytes = 0
  #isOver = false

  constructor(held: HeldBodies, keyId: string) {
    this.#held = held
    this.#keyId = keyId
  }

  /** @throws BrokerError rate_limit_exceeded | overloaded, and holds no more than before */
  add(bytes: number): void {
    if (this.#isOver) return
    this.#held.add(this.#keyId, bytes)
    this.#bytes += bytes
  }

  release(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#held.remove(this.#keyId, this.#bytes)
  }
}
