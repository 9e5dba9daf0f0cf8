/**
 * Drives the refresh machine: single flight in this process first, the lease in the row second.
 *
 * A refresh belongs to the credential, not to a request: it takes no abort signal, and a client that leaves
 * never cancels it (invariant I6).
 */
import { randomUUID } from 'node:crypto'
import { type Clock, sleep } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { Credential } from './credential.ts'
import { type CredentialStore, LEASE_MS } from './credential-store.ts'
import type { Journal } from './journal.ts'
import { type Action, type Event, type Outcome, type Step, transition } from './refresh-machine.ts'

export interface RefreshParts {
  readonly store: CredentialStore
  readonly journal: Journal
  readonly clock: Clock
  readonly log: Logger
  /** Names this process in leases. */
  readonly owner: string
  /** One request to whoever renews this kind of credential; see `renew.ts`. */
  readonly renew: (credential: Credential) => Promise<Renewal>
  /** Makes a credential the one that callers in this process get. */
  readonly publish: (credential: Credential) => void
  /** The cached credential of this config is no longer worth anything. */
  readonly forget: (configId: string) => void
  /** Told once for every refresh, for the metrics. */
  readonly settled: (outcome: Outcome['kind']) => void
}

export interface Flight {
  /** Epoch ms. */
  readonly startedAt: number
  /** Settles as soon as callers can go on: with new tokens in memory, even if the database is still to hear of it. */
  readonly outcome: Promise<Outcome>
  /** Settles when nothing is left to do. */
  readonly done: Promise<void>
}

const WATCH_MIN_MS = 25
const WATCH_MAX_MS = 250
const BACK_OFF_MIN_MS = 30_000
const BACK_OFF_MAX_MS = 5 * 60_000
/** Between the end of the slowest request and the end of its lease. */
const LEASE_MARGIN_MS = 2_000
const STORE_RETRY_MAX_MS = 2_000

export class Refresher {
  readonly #parts: RefreshParts
  readonly #flights = new Map<string, Flight>()
  /** Attempts in a row that brought nothing, by config. */
  readonly #failures = new Map<string, number>()

  constructor(parts: RefreshParts) {
    this.#parts = parts
  }

  /**
   * Renews a credential once, for all callers of this process at the same time.
   * Never rejects for network, server or database trouble: that is `unchanged`.
   */
  refresh(credential: Pick<Credential, 'configId' | 'version'>, isForced = false): Flight {
    const running = this.#flights.get(credential.configId)
    if (running) return running
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    const done = this.#run(credential, isForced, resolve)
      .catch((error: unknown) => {
        this.#parts.log.error({ err: error, configId: credential.configId }, 'refresh failed')
        resolve({ kind: 'unchanged', why: 'internal error', retryAt: undefined })
      })
      .finally(() => this.#flights.delete(credential.configId))
    const flight = { startedAt: Date.now(), outcome: promise, done }
    this.#flights.set(credential.configId, flight)
    return flight
  }

  /** At start: finishes what a process before us began. @throws BrokerError storage_unavailable */
  async recover(): Promise<void> {
    const { journal, store, log } = this.#parts
    for (const { configId, attemptId, fromVersion } of journal.pending()) {
      const row = await store.load(configId)
      if (!row) continue // deleted, or its provider file is away: the entry ends with its file
      if (row.version > fromVersion) journal.done(attemptId)
      else if (await replay(this.#parts, row)) log.info({ configId, outcome: 'recovered' }, 'journal')
    }
    journal.removeOld()
  }

  /** Resolves when no refresh is under way, so that a shutdown does not cut one off. */
  async idle(): Promise<void> {
    while (this.#flights.size > 0) await Promise.all([...this.#flights.values()].map((flight) => flight.done))
  }

  async #run(
    credential: Pick<Credential, 'configId' | 'version'>,
    isForced: boolean,
    tellCallers: (outcome: Outcome) => void,
  ): Promise<void> {
    const { log, publish, forget } = this.#parts
    const { configId } = credential
    const failures = this.#failures.get(configId) ?? 0
    const attempt = new Attempt(this.#parts, configId, failures, (kept) => {
      publish(kept)
      tellCallers({ kind: 'renewed', credential: kept })
    })
    const cause = { version: credential.version, isForced }
    let step: Step = { phase: { at: 'deciding' }, action: { do: 'read_row' } }
    while (step.phase.at !== 'settled') {
      const event = await attempt.perform(step.action)
      step = transition(cause, step.phase, event)
    }
    const { outcome } = step.phase
    if (outcome.kind === 'renewed') publish(outcome.credential)
    if (outcome.kind === 'reauth_required') forget(configId)
    if (outcome.kind !== 'unchanged') this.#failures.delete(configId)
    else if (attempt.hasSent) this.#failures.set(configId, failures + 1)
    tellCallers(outcome)
    this.#parts.settled(outcome.kind)
    log.info({ configId, outcome: outcome.kind, why: whyOf(outcome) }, 'refresh')
  }
}

function whyOf(outcome: Outcome): string | undefined {
  return outcome.kind === 'unchanged' ? outcome.why : undefined
}

/** One run of the machine: its lease id, how long it has watched, what it kept. */
class Attempt {
  readonly #parts: RefreshParts
  readonly #configId: string
  readonly #failuresBefore: number
  readonly #attemptId = randomUUID()
  readonly #startedAt = Date.now()
  readonly #keep: (credential: Credential) => void
  hasSent = false
  #leasedAt = 0
  #kept: Credential | undefined
  #pauseMs = WATCH_MIN_MS
  #storeFailures = 0

  constructor(
    parts: RefreshParts,
    configId: string,
    failuresBefore: number,
    keep: (credential: Credential) => void,
  ) {
    this.#parts = parts
    this.#configId = configId
    this.#failuresBefore = failuresBefore
    this.#keep = keep
  }

  async perform(action: Action): Promise<Event> {
    const { store } = this.#parts
    try {
      switch (action.do) {
        case 'read_row':
          return await this.#readRow()
        case 'wait_and_read':
          await sleep(this.#pauseMs)
          this.#pauseMs = Math.min(this.#pauseMs * 2, WATCH_MAX_MS)
          return await this.#readRow()
        case 'replay_journal':
          return { type: 'journal_replayed', found: await replay(this.#parts, action.row) }
        case 'claim_lease':
          return await this.#claimLease(action.row)
        case 'send':
          if (this.#leaseIsTooOld(action.row)) return { type: 'lease_lapsed' }
          this.#parts.journal.begin(this.#attemptId)
          this.hasSent = true
          return { type: 'answered', renewal: await this.#parts.renew(action.row) }
        case 'keep':
          return this.#keepAnswer(action.row, action.tokens)
        case 'store':
          return await this.#store(action.row)
        case 'release':
          return await this.#release(action)
        case 'clear':
          return { type: 'cleared', done: await store.clear(action.row, this.#attemptId, action.why) }
        case 'nothing':
          throw new Error('nothing to perform')
      }
    } catch (error) {
      if (error instanceof BrokerError) return { type: 'storage_failed', why: error.code }
      throw error
    }
  }

  async #readRow(): Promise<Event> {
    const row = await this.#parts.store.load(this.#configId)
    return { type: 'row', row, now: this.#parts.clock(), waitedMs: Date.now() - this.#startedAt }
  }

  /** One tick: to disk, then to the callers. Should the disk fail, memory and the database must do. */
  #keepAnswer(row: Credential, tokens: TokenSet): Event {
    const { configId, version: fromVersion } = row
    try {
      this.#parts.journal.keep({ attemptId: this.#attemptId, configId, fromVersion, tokens, at: Date.now() })
    } catch (error) {
      this.#parts.log.error({ err: error, configId }, 'an answer could not be journalled')
    }
    this.#kept = renewed(row, tokens)
    this.#keep(this.#kept)
    return { type: 'kept' }
  }

  async #claimLease(row: Credential): Promise<Event> {
    this.#leasedAt = Date.now()
    const granted = await this.#parts.store.claimLease(row, this.#parts.owner, this.#attemptId)
    return { type: granted ? 'lease_granted' : 'lease_refused' }
  }

  /** A lease must outlive the request made under it; after a pause (SIGSTOP, a slow database) it would not. */
  #leaseIsTooOld({ provider }: Credential): boolean {
    return Date.now() - this.#leasedAt > LEASE_MS - provider.refresh.timeoutMs - LEASE_MARGIN_MS
  }

  /** In doubt the old access token serves to its real end, and not a moment is lost after that. */
  #nextAttemptAt({ row, state, retryAfterMs = 0 }: Extract<Action, { do: 'release' }>): number {
    const now = this.#parts.clock()
    if (state === 'uncertain' && row.expiresAt !== undefined && now < row.expiresAt) return row.expiresAt
    return now + Math.max(retryAfterMs, backOff(this.#failuresBefore))
  }

  /** Again and again until the database answers: the answer is in memory and must not be lost. */
  async #store(row: Credential): Promise<Event> {
    const credential = this.#kept
    if (!credential) throw new Error('nothing was kept')
    if (this.#storeFailures > 0) await sleep(Math.min(100 * 2 ** this.#storeFailures, STORE_RETRY_MAX_MS))
    this.#storeFailures += 1
    const isStored = await this.#parts.store.storeRenewed(row, this.#attemptId, credential)
    const now = isStored ? credential : await this.#parts.store.load(this.#configId)
    this.#parts.journal.done(this.#attemptId)
    // Not stored, yet there: an acknowledgement got lost on the way, but the write went through.
    if (now && (isStored || now.lastAttemptId === this.#attemptId)) return { type: 'stored', credential: now }
    return { type: 'superseded' }
  }

  async #release(action: Extract<Action, { do: 'release' }>): Promise<Event> {
    const nextAttemptAt = action.backsOff ? this.#nextAttemptAt(action) : 0
    // A row found in `refreshing` carries the attempt of the holder that is gone.
    const attemptId = action.row.attemptId ?? this.#attemptId
    await this.#parts.store.release(action.row, attemptId, {
      state: action.state,
      nextAttemptAt,
      error: action.why,
      isExpiring: action.isExpiring,
    })
    return { type: 'released', retryAt: nextAttemptAt }
  }
}

/**
 * Stores what journals hold for this version of a row: answers that were read by a process that then died, or
 * that is cut off from the database. @returns whether there was one
 */
export async function replay(
  { journal, store }: Pick<RefreshParts, 'journal' | 'store'>,
  row: Credential,
): Promise<boolean> {
  const entry = journal
    .pending()
    .find(({ configId, fromVersion }) => configId === row.configId && fromVersion === row.version)
  if (!entry) return false
  await store.storeRenewed(row, entry.attemptId, renewed(row, entry.tokens))
  journal.done(entry.attemptId)
  return true
}

/** The credential that a token answer makes of an old one: what the answer omits stays (RFC 6749 §6). */
function renewed(row: Credential, tokens: TokenSet): Credential {
  return {
    ...row,
    version: row.version + 1,
    state: 'active',
    accessToken: tokens.accessToken,
    refreshToken: tokens.refreshToken ?? row.refreshToken,
    tokenType: tokens.tokenType,
    scope: tokens.scope ?? row.scope,
    expiresAt: tokens.expiresAt,
    refreshedAt: tokens.receivedAt,
    metadata: { ...row.metadata, ...tokens.metadata },
    attemptId: undefined,
    leaseIsLive: false,
    nextAttemptAt: 0,
    lastError: undefined,
  }
}

/** 30 s, 1 min, 2 min … 5 min, each up to half as long again so that replicas do not march in step. */
function backOff(failures: number): number {
  return Math.min(BACK_OFF_MIN_MS * 2 ** failures, BACK_OFF_MAX_MS) * (1 + Math.random() / 2)
}
