/**
 * The credentials this process last saw, decrypted, most recently used first.
 *
 * What may have changed is not handed out before it was read again, but not thrown away either: should its row have
 * gone back in time, this is the newer one.
 */
import { LRUCache } from 'lru-cache'
import { upTo } from '../base/up-to.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import { type Credential, isOlder } from './credential.ts'

/** At about 3 kB a credential, 100,000 of them would be 300 MB; cold ones cost one indexed query. */
const MAX_CREDENTIALS = 10_000

export class CredentialCache {
  readonly #cache = new LRUCache<string, Held>(upTo(MAX_CREDENTIALS))
  readonly #changes: Changes

  constructor(changes: Changes) {
    this.#changes = changes
  }

  /** Undefined also if its config may have changed since it was read. */
  get(configId: string): Credential | undefined {
    const held = this.#cache.get(configId)
    if (!held) return undefined
    const { seen } = this.#changes
    if (held.seen !== seen) {
      if (this.#changes.hasChanged(configId, held.seen)) return undefined
      held.seen = seen
    }
    return held.credential
  }

  /** The changes that are known of now, to be given with what is read from now on. */
  get seen(): number {
    return this.#changes.seen
  }

  /** Whatever was put last of the newest version, even if it may have changed. */
  newest(configId: string): Credential | undefined {
    return this.#cache.peek(configId)?.credential
  }

  /**
   * Never replaces a newer version by an older one, nor what was read of it later: two reads of a row may come back in
   * the wrong order.
   * @param seen what it was when the read began
   */
  put(credential: Credential, seen: number): void {
    const present = this.#cache.peek(credential.configId)
    if (present && isOlder(credential, present.credential)) return
    if (present && seen < present.seen && !isOlder(present.credential, credential)) return
    this.#cache.set(credential.configId, { credential, seen })
  }

  /**
   * New tokens, with a config that was read before they were asked for: if it has been read again since, that counts.
   * @param seen what it was when that read began; undefined: nobody here knows
   */
  publish(credential: Credential, seen = UNKNOWN): void {
    const present = this.#cache.peek(credential.configId)
    if (present && seen < present.seen && present.credential.loginAt === credential.loginAt) {
      const { provider, baseUrl } = present.credential
      this.put({ ...credential, provider, baseUrl }, present.seen)
    } else this.put(credential, seen)
  }

  forget(configId: string): void {
    this.#cache.delete(configId)
  }
}

/** Before everything: it is read again before it is handed out. */
const UNKNOWN = -1

type Changes = Pick<ChangeWatcher, 'seen' | 'hasChanged'>

interface Held {
  readonly credential: Credential
  seen: number
}
