/**
 * The credentials this process last saw, decrypted, most recently used first.
 */
import { LRUCache } from 'lru-cache'
import type { Credential } from './credential.ts'

/** At about 3 kB a credential, 100,000 of them would be 300 MB; cold ones cost one indexed query. */
const MAX_CREDENTIALS = 10_000

export class CredentialCache {
  readonly #cache = new LRUCache<string, Credential>({ max: MAX_CREDENTIALS })

  get(configId: string): Credential | undefined {
    return this.#cache.get(configId)
  }

  /** Never replaces a newer version by an older one: two reads of a row may come back in the wrong order. */
  put(credential: Credential): void {
    const present = this.#cache.peek(credential.configId)
    if (present === undefined || credential.version >= present.version) {
      this.#cache.set(credential.configId, credential)
    }
  }

  forget(configId: string): void {
    this.#cache.delete(configId)
  }

  clear(): void {
    this.#cache.clear()
  }

  values(): Iterable<Credential> {
    return this.#cache.values()
  }
}
