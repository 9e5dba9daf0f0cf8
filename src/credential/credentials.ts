/**
 * Gives callers a credential that upstream should still accept: cache → store → refresh.
 */
import { type Clock, MINUTE, within } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { type Credential, isDue, isRenewable, isUsable } from './credential.ts'
import type { CredentialCache } from './credential-cache.ts'
import type { CredentialStore } from './credential-store.ts'
import type { Refresher } from './refresh.ts'
import { MAX_WATCH_MS } from './refresh-machine.ts'

const RETRY_AFTER_SECONDS = 5
/** Whoever asked for a refresh wants to see it in the row; callers of a model need not wait for that. */
const STORED_WITHIN_MS = 2_000

export class Credentials {
  readonly #cache: CredentialCache
  readonly #store: CredentialStore
  readonly #refresher: Pick<Refresher, 'refresh'>
  readonly #clock: Clock
  /** Reads under way, so that a thousand callers of a cold config make one query. */
  readonly #loads = new Map<string, Promise<Credential>>()
  /** The last refresh because upstream refused: from which version, when it began, and what it brings. */
  readonly #forced = new Map<
    string,
    { version: number; at: number; renewal: Promise<Credential | undefined> }
  >()

  constructor(
    cache: CredentialCache,
    store: CredentialStore,
    refresher: Pick<Refresher, 'refresh'>,
    clock: Clock,
  ) {
    this.#cache = cache
    this.#store = store
    this.#refresher = refresher
    this.#clock = clock
  }

  /** The cached credential if it needs nothing at all: the hot path, without a promise. */
  peek(configId: string): Credential | undefined {
    const credential = this.#cache.get(configId)
    return credential?.state === 'active' && !isDue(credential, this.#clock()) ? credential : undefined
  }

  /**
   * Gives a credential that upstream should still accept. Near expiry one refresh is shared by all callers; each
   * waits up to `wait_seconds` and then goes on with the old token while that is valid (interface.md §6).
   *
   * @param onWait called if this caller has to wait for a refresh
   * @throws BrokerError credential_reauth_required | refresh_unavailable | storage_unavailable | decryption_failed
   */
  async usable(configId: string, onWait?: () => void): Promise<Credential> {
    const credential = this.#cache.get(configId) ?? (await this.#load(configId))
    assertAlive(credential)
    const now = this.#clock()
    if (!isDue(credential, now) || !isRenewable(credential)) {
      if (isUsable(credential, now)) return credential
      throw new BrokerError('credential_reauth_required', { detail: 'expired, and nothing to renew it with' })
    }
    if (now < credential.nextAttemptAt && isUsable(credential, now)) return credential
    const flight = this.#refresher.refresh(credential)
    let patience = MAX_WATCH_MS
    if (isUsable(credential, now)) {
      const waitUntil = flight.startedAt + credential.provider.refresh.waitMs
      patience = this.#store.isAway ? 0 : waitUntil - Date.now()
    }
    if (patience > 0) onWait?.()
    const outcome = patience > 0 ? await within(patience, flight.outcome) : undefined
    if (outcome?.kind === 'renewed') return outcome.credential
    if (outcome?.kind === 'reauth_required') throw new BrokerError('credential_reauth_required')
    if (outcome?.retryAt !== undefined) this.#cache.put({ ...credential, nextAttemptAt: outcome.retryAt })
    if (isUsable(credential, this.#clock())) return credential
    throw new BrokerError('refresh_unavailable', {
      detail: outcome?.why ?? 'still refreshing',
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    })
  }

  /**
   * After upstream answered 401: a newer credential to try once more with, or undefined when trying again would
   * change nothing. If a newer one is stored it is used and nothing is refreshed; a fresh token that is refused
   * too means that the account is not entitled, so there is no loop.
   */
  async afterRefusal(refused: Credential): Promise<Credential | undefined> {
    const { configId } = refused
    const stored = await this.#load(configId).catch(() => this.#cache.get(configId))
    if (!stored) return undefined
    assertAlive(stored)
    if (stored.accessToken !== refused.accessToken && isUsable(stored, this.#clock())) return stored
    if (!isRenewable(stored)) return undefined
    // It ran out on its way, which says nothing against the account.
    if (!isUsable(stored, this.#clock())) return this.usable(configId)
    const last = this.#forced.get(configId)
    if (last && this.#clock() - last.at < MINUTE) {
      // Others were refused at the same version: one refresh serves them all, also while it is under way.
      if (stored.version === last.version) return last.renewal
      // Born of a refusal and refused again: it is not the token's fault.
      if (stored.version === (await last.renewal)?.version) return undefined
    }
    const renewal = this.#force(stored)
    this.#forced.set(configId, { version: stored.version, at: this.#clock(), renewal })
    return renewal
  }

  async #force(refused: Credential): Promise<Credential | undefined> {
    const outcome = await within(MAX_WATCH_MS, this.#refresher.refresh(refused, true).outcome)
    if (outcome?.kind === 'reauth_required') throw new BrokerError('credential_reauth_required')
    return outcome?.kind === 'renewed' ? outcome.credential : undefined
  }

  /** Refreshes now, whether due or not. @throws as {@link usable} */
  async renew(configId: string): Promise<Credential> {
    const credential = await this.#load(configId)
    assertAlive(credential)
    if (!isRenewable(credential)) return credential
    const flight = this.#refresher.refresh(credential, true)
    const outcome = await within(MAX_WATCH_MS, flight.outcome)
    if (outcome?.kind === 'renewed') {
      await within(STORED_WITHIN_MS, flight.done)
      return outcome.credential
    }
    if (outcome?.kind === 'reauth_required') throw new BrokerError('credential_reauth_required')
    throw new BrokerError('refresh_unavailable', {
      detail: outcome?.why ?? 'still refreshing',
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    })
  }

  /** The config was changed or deleted: the next caller reads the row. */
  forget(configId: string): void {
    this.#cache.forget(configId)
  }

  #load(configId: string): Promise<Credential> {
    const running = this.#loads.get(configId)
    if (running) return running
    const load = this.#store
      .load(configId)
      .then((credential) => {
        if (!credential) throw new BrokerError('config_not_found')
        this.#cache.put(credential)
        // Tokens that wait for the database to come back are newer than the row.
        return this.#cache.get(configId) ?? credential
      })
      .finally(() => this.#loads.delete(configId))
    this.#loads.set(configId, load)
    return load
  }
}

function assertAlive(credential: Credential): void {
  if (credential.state === 'reauth_required' || credential.state === 'missing') {
    throw new BrokerError('credential_reauth_required', { detail: credential.state })
  }
}
