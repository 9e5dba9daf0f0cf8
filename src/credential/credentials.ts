/**
 * Gives callers a credential that upstream should still accept: cache → store → refresh.
 */
import { type Clock, MINUTE, SECOND, within } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { SingleFlight } from '../base/single-flight.ts'
import {
  type Credential,
  isDue,
  isLocal,
  isOlder,
  isRenewable,
  isTwoStep,
  isUsable,
  mayAskAgain,
} from './credential.ts'
import type { CredentialCache } from './credential-cache.ts'
import type { JustRead } from './credential-reader.ts'
import type { CredentialStore } from './credential-store.ts'
import { assertAlive, putOff, RETRY_AFTER_SECONDS, refusedError, unavailable } from './credential-trouble.ts'
import type { LocalKeys } from './local-keys.ts'
import type { Flight, Refresher } from './refresh.ts'
import { MAX_WATCH_MS } from './refresh-machine.ts'

/** How long a row is waited for to say whether somebody renewed it, once upstream has refused the token. */
const MAX_READ_MS = 2_000
/** Whoever asked for a refresh wants to see it in the row; callers of a model need not wait for that. */
const STORED_WITHIN_MS = 2_000

interface Caller {
  /** By `performance.now()`. */
  readonly until: number
  readonly onWait: (() => void) | undefined
  /** The changes that were known of when it began. */
  readonly seen: number
}

/** A refresh because upstream refused a token. */
interface Forced {
  readonly version: number
  readonly renewal: Promise<Credential | undefined>
  /** Epoch ms; refusals of the same version ask for no other until then. */
  until: number
}

export class Credentials {
  readonly #cache: CredentialCache
  readonly #store: CredentialStore
  readonly #refresher: Pick<Refresher, 'refresh' | 'putRight'>
  readonly #local: LocalKeys
  readonly #clock: Clock
  /**
   * Reads under way, so that a thousand callers of a cold config make one query. Whoever comes after a change begins
   * anew: a read from before it may bring what is no longer so.
   */
  readonly #loads = new SingleFlight<Credential>()
  /** The last refresh because upstream refused, by config. */
  readonly #forced = new Map<string, Forced>()

  constructor(
    cache: CredentialCache,
    store: CredentialStore,
    refresher: Pick<Refresher, 'refresh' | 'putRight'>,
    local: LocalKeys,
    clock: Clock,
  ) {
    this.#cache = cache
    this.#store = store
    this.#refresher = refresher
    this.#local = local
    this.#clock = clock
  }

  /** The cached credential if it needs nothing at all: the hot path, without a promise. */
  peek(configId: string): Credential | undefined {
    const credential = this.#cache.get(configId)
    if (credential && (isLocal(credential) || isTwoStep(credential))) return this.#local.peek(credential)
    return credential?.state === 'active' && !isDue(credential, this.#clock()) ? credential : undefined
  }

  /**
   * Gives a credential that upstream should still accept. Near expiry one refresh is shared by all callers; each
   * waits up to `wait_seconds` and then goes on with the old token while that is valid (docs/api.md, Calls).
   *
   * @param onWait called if this caller has to wait for a refresh
   * @param patienceMs how long it can wait
   * @throws BrokerError credential_reauth_required | credential_refused | refresh_unavailable | storage_unavailable |
   *   decryption_failed
   */
  async usable(configId: string, onWait?: () => void, patienceMs = MAX_WATCH_MS): Promise<Credential> {
    const { seen } = this.#cache
    const until = performance.now() + patienceMs
    const cached = this.#cache.get(configId)
    const credential = cached ?? (await within(patienceMs, this.#load(configId)))
    if (!credential) throw new BrokerError('storage_unavailable', { retryAfterSeconds: RETRY_AFTER_SECONDS })
    assertAlive(credential)
    if (isLocal(credential)) return this.#local.usable(credential, patienceMs, onWait)
    const caller = { until, onWait, seen }
    const justRead = cached ? undefined : { row: credential, seen }
    if (isTwoStep(credential)) return this.#traded(credential, caller, justRead)
    return this.#stored(credential, caller, justRead)
  }

  /** What a login is traded for: that in memory to its end, whatever becomes of the login in the meantime. */
  async #traded(login: Credential, caller: Caller, justRead?: JustRead): Promise<Credential> {
    const living = this.#local.living(login)
    if (living && !isDue(living, this.#clock())) return living
    const waitMs = living ? login.provider.refresh.waitMs : Number.POSITIVE_INFINITY
    const until = Math.min(caller.until, performance.now() + waitMs)
    try {
      const row = await this.#stored(login, { ...caller, until }, justRead)
      return await this.#local.usable(row, until - performance.now(), caller.onWait)
    } catch (error) {
      if (living) return living
      assertAlive(await this.#afterwards(login, MAX_READ_MS))
      throw error
    }
  }

  /** What stands in a row. */
  async #stored(
    credential: Credential,
    { until, onWait, seen }: Caller,
    justRead?: JustRead,
  ): Promise<Credential> {
    const { configId } = credential
    const now = this.#clock()
    if (!isDue(credential, now) || !isRenewable(credential)) {
      if (isUsable(credential, now)) return credential
      throw new BrokerError('credential_reauth_required', { detail: 'expired, and nothing to renew it with' })
    }
    if (now < credential.attempt.nextAt) {
      if (isUsable(credential, now)) return credential
      // Nobody could say that it was mended.
      if (credential.state === 'refused' && this.#store.isAway)
        throw refusedError(credential.attempt.lastError)
    }
    const flight = this.#refresher.refresh(credential, false, justRead)
    let patience = until - performance.now()
    if (isUsable(credential, now)) {
      const waitUntil = flight.startedAt + credential.provider.refresh.waitMs
      patience = this.#store.isAway ? 0 : Math.min(patience, waitUntil - Date.now())
    }
    if (patience > 0) onWait?.()
    const outcome = patience > 0 ? await within(patience, flight.outcome) : undefined
    if (outcome?.kind === 'renewed') return outcome.credential
    if (outcome?.kind === 'reauth_required') throw new BrokerError('credential_reauth_required')
    if (outcome?.retryAt !== undefined) this.#cache.put(putOff(credential, outcome), seen)
    if (isUsable(credential, this.#clock())) return credential
    if (outcome?.kind === 'refused') throw refusedError(outcome.why)
    // It ended while its flight still took it for good: now it may be asked for without a database.
    const left = until - performance.now()
    if (isUsable(credential, now) && mayAskAgain(credential) && left > 0)
      return this.usable(configId, onWait, left)
    throw unavailable(outcome, this.#clock())
  }

  /**
   * After upstream answered 401: a newer credential to try once more with, or undefined when renewing could change
   * nothing. If a newer one is stored it is used and nothing is refreshed; a fresh token that is refused too means
   * that the account is not entitled, so there is no loop.
   *
   * @throws BrokerError credential_reauth_required | credential_refused | refresh_unavailable: it would help, but is not
   *   possible just now
   */
  async afterRefusal(refused: Credential, patienceMs = MAX_WATCH_MS): Promise<Credential | undefined> {
    const { configId } = refused
    const until = performance.now() + patienceMs
    const stored = await this.#afterwards(refused, Math.min(MAX_READ_MS, patienceMs))
    assertAlive(stored)
    if (isLocal(stored) || isTwoStep(stored))
      return this.#local.afterRefusal(stored, refused, until - performance.now())
    const now = this.#clock()
    if (stored.tokens.accessToken !== refused.tokens.accessToken && isUsable(stored, now)) return stored
    if (!isRenewable(stored)) return undefined
    const { nextAt, lastError } = stored.attempt
    if (stored.state === 'refused' && now < nextAt) throw refusedError(lastError)
    const patience = Math.max(0, until - performance.now())
    // It ran out on its way, which says nothing against the account.
    if (!isUsable(stored, now)) return this.usable(configId, undefined, patience)
    const last = this.#forced.get(configId)
    if (last && now < last.until) {
      // Others were refused at the same version: one refresh serves them all, also while it is under way.
      if (stored.version === last.version) return last.renewal
      // Born of a refusal and refused again: it is not the token's fault.
      if (stored.version === (await last.renewal.catch(() => undefined))?.version) return undefined
    }
    return this.#force(stored, patience)
  }

  /** What is known of a credential once it was refused. A database that is away, or slow, knows nothing newer. */
  async #afterwards(refused: Credential, withinMs: number): Promise<Credential> {
    const { configId } = refused
    const stored = await within(
      withinMs,
      this.#load(configId).catch(() => undefined),
    )
    return stored ?? this.#cache.get(configId) ?? refused
  }

  #force(refused: Credential, patienceMs: number): Promise<Credential | undefined> {
    const renewal = this.#newer(this.#refresher.refresh(refused, true), patienceMs)
    const forced = { version: refused.version, until: this.#clock() + MINUTE, renewal }
    this.#forced.set(refused.configId, forced)
    renewal.catch((error: unknown) => {
      const seconds = error instanceof BrokerError ? error.retryAfterSeconds : undefined
      forced.until = this.#clock() + (seconds ?? RETRY_AFTER_SECONDS) * SECOND
    })
    return renewal
  }

  /** Undefined: whoever renews it has nothing newer. @throws as {@link afterRefusal} */
  async #newer({ outcome: told }: Flight, patienceMs: number): Promise<Credential | undefined> {
    const outcome = await within(patienceMs, told)
    if (outcome?.kind === 'renewed') return outcome.credential
    if (outcome?.kind === 'reauth_required') throw new BrokerError('credential_reauth_required')
    if (outcome?.kind === 'refused') throw refusedError(outcome.why)
    if (outcome?.isUnmoved) return undefined
    throw unavailable(outcome, this.#clock())
  }

  /** Of what stands in no row: why this process was refused, where only a person can mend that. */
  refusalOf(configId: string): string | undefined {
    return this.#local.refusalOf(configId)
  }

  /** Refreshes now, whether due or not. @throws as {@link usable} | BrokerError session_not_extended */
  async renew(configId: string): Promise<void> {
    const credential = await this.#load(configId)
    assertAlive(credential)
    if (isLocal(credential)) return this.#local.renew(credential, MAX_WATCH_MS)
    if (isRenewable(credential)) {
      const flight = this.#refresher.refresh(credential, true)
      const newer = await this.#newer(flight, MAX_WATCH_MS)
      await within(STORED_WITHIN_MS, flight.done)
      if (!newer) throw new BrokerError('session_not_extended')
    }
    if (isTwoStep(credential)) await this.#local.renew(await this.#load(configId), MAX_WATCH_MS)
  }

  #load(configId: string): Promise<Credential> {
    const { seen } = this.#cache
    return this.#loads.run(`${configId} ${seen}`, async () => {
      const credential = await this.#store.load(configId)
      if (!credential) {
        this.#cache.forget(configId)
        throw new BrokerError('config_not_found')
      }
      const known = this.#cache.newest(configId)
      if (known && isOlder(credential, known)) return this.#outrank(credential, known, seen)
      this.#cache.put(credential, seen)
      return credential
    })
  }

  /** What is in memory waits for the database to come back, or the database went back in time: it is newer than the row. */
  #outrank(row: Credential, known: Credential, seen: number): Credential {
    const current = { ...known, provider: row.provider, baseUrl: row.baseUrl }
    this.#cache.put(current, seen)
    this.#refresher.putRight(known)
    return current
  }
}
