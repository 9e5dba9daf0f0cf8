/**
 * One run of the refresh machine: does what the machine decides, and reports what happened. Its lease id, how long it
 * has watched and what it kept live and die with it.
 */
import { randomUUID } from 'node:crypto'
import { sleep } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import { isJournalled } from '../provider/renewal-class.ts'
import type { AttemptParts, Run } from './attempt-parts.ts'
import { nextAttemptAt } from './back-off.ts'
import { type Credential, isOlder, isUsable, mayAskAgain, renewedBy } from './credential.ts'
import type { JustRead, RowStanding } from './credential-reader.ts'
import { LEASE_MS } from './credential-store.ts'
import type { Ahead } from './knowledge.ts'
import type { Action, Event } from './refresh-step.ts'
import { replay } from './replay.ts'
import type { Rank, ServerProbes, Turn } from './server-probe.ts'
import type { UnsentAttempts } from './unsent-attempts.ts'

const WATCH_MIN_MS = 25
const WATCH_MAX_MS = 250
/** Between the end of the slowest request and the end of its lease. */
const LEASE_MARGIN_MS = 2_000
const STORE_RETRY_MAX_MS = 2_000

export class Attempt {
  readonly #parts: AttemptParts
  readonly #unsent: UnsentAttempts
  readonly #run: Run
  #attemptId: string = randomUUID()
  readonly #startedAt = Date.now()
  readonly #probes: ServerProbes
  /** The changes that were known of when the row was last read. */
  seen = 0
  hasSent = false
  /** What it brought is to be found in the row, now or once there is a database again. */
  isLookedAfter = false
  #justRead: JustRead | undefined
  #turn: Turn | undefined
  #leasedAt = 0
  #kept: Credential | undefined
  #pauseMs = WATCH_MIN_MS
  #storeFailures = 0

  constructor(parts: AttemptParts, unsent: UnsentAttempts, probes: ServerProbes, run: Run) {
    this.#parts = parts
    this.#unsent = unsent
    this.#probes = probes
    this.#run = run
    this.#justRead = run.justRead
  }

  /** Whatever fails, the machine decides what that means: an error of any kind ends no attempt by itself. */
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
          return await this.#send(action.row)
        case 'send_alone':
          return await this.#sendAlone(action.row)
        case 'keep':
          return this.#keepAnswer(action.row, action.tokens)
        case 'store':
          return await this.#store(action.row)
        case 'release':
          return await this.#release(action)
        case 'clear':
          return await this.#clear(action.row, action.why)
        case 'restore':
          return await this.#restore(action.row, action.credential)
        case 'ask_for_login':
          return { type: 'cleared', done: await store.askForLogin(action.row, action.why) }
        case 'nothing':
          throw new Error('nothing to perform')
      }
    } catch (error) {
      this.endTurn()
      if (error instanceof BrokerError) return this.#storageFailed(error.code)
      this.#parts.log.error({ err: error, configId: this.#run.configId }, `refresh: ${action.do}`)
      return this.#storageFailed((error as { code?: string } | null)?.code ?? 'unknown error')
    }
  }

  #storageFailed(why: string): Event {
    const { knowledge, clock } = this.#parts
    return { type: 'storage_failed', why, now: clock(), known: knowledge.held(this.#run.configId) }
  }

  async #readRow(): Promise<Event> {
    const { knowledge, changes, store } = this.#parts
    const justRead = this.#justRead
    this.#justRead = undefined
    // Where more is known than it says the row is asked itself: it may have moved on, or gone back in time.
    if (justRead && !knowledge.ahead(justRead.row)) return await this.#found(justRead, undefined)
    const { seen } = changes
    const row = await store.load(this.#run.configId)
    return await this.#found({ row, seen }, row && knowledge.ahead(row))
  }

  async #found(
    { row, seen }: { row: Credential | undefined; seen: number },
    ahead: Ahead | undefined,
  ): Promise<Event> {
    const { knowledge, clock, refusedSources } = this.#parts
    this.seen = seen
    if (row) knowledge.note(row.configId, row)
    const unsentFrom = this.#unsent.stateBefore(row?.attempt.id)
    const isMended = row !== undefined && (await refusedSources.areOthers(row))
    return {
      ...{ type: 'row', row, now: clock(), waitedMs: Date.now() - this.#startedAt },
      ...{ unsentFrom, ahead, isMended },
    }
  }

  async #clear(row: Credential, why: string): Promise<Event> {
    const done = await this.#parts.store.clear(row, this.#attemptId, why)
    if (done) this.#parts.knowledge.note(row.configId, { ...row, version: row.version + 1 }, true)
    return { type: 'cleared', done }
  }

  /** Under the version it had, for everybody else knows it by that; only a row of another login raises it. */
  async #restore(row: Credential, known: Credential): Promise<Event> {
    const { store, journal, knowledge, clock, log } = this.#parts
    const credential = { ...known, version: Math.max(known.version, row.version + 1) }
    const done = await store.storeRenewed(row, credential)
    if (done) {
      knowledge.note(row.configId, credential)
      if (known.attempt.lastId !== undefined) journal.done(known.attempt.lastId)
      log.warn({ configId: row.configId }, 'the row had gone back in time; what it held is stored again')
      this.isLookedAfter = true
    }
    return { type: 'restored', done, now: clock() }
  }

  async #send(row: Credential): Promise<Event> {
    if (this.#leaseIsTooOld(row)) return { type: 'lease_lapsed' }
    this.#unsent.delete(this.#attemptId)
    return this.#ask(row)
  }

  /** The lease that may be ours is left to itself: in a row that is older than what is known it holds nobody up. */
  async #sendAlone(row: Credential): Promise<Event> {
    this.#attemptId = randomUUID()
    this.seen = this.#parts.changes.seen
    this.isLookedAfter = true
    this.#turn = await this.#probes.turn(row.provider, () => 'caller')
    return this.#turn ? this.#ask(row) : this.#serverAway(row)
  }

  #serverAway({ provider }: Credential): Event {
    return { type: 'server_away', retryAt: this.#parts.clock() + this.#probes.retryAfterMs(provider) }
  }

  async #ask(row: Credential): Promise<Event> {
    this.hasSent = true
    const { refusedSources } = this.#parts
    const sources = await refusedSources.read(row.provider)
    // Who breaks down here may have sent already.
    const renewal = await this.#parts.renew(row).catch((error: unknown): Renewal => {
      this.#parts.log.error({ err: error, configId: this.#run.configId }, 'refresh: the request broke down')
      return { kind: 'unclear', why: 'the request broke down' }
    })
    this.endTurn(renewal)
    if (renewal.kind === 'refused') refusedSources.note(row.configId, sources)
    return { type: 'answered', renewal, now: this.#parts.clock() }
  }

  /** One tick: to disk, then to the callers. Should the disk fail, memory and the database must do. */
  #keepAnswer(row: Credential, tokens: TokenSet): Event {
    const { knowledge } = this.#parts
    // Over a row that went back, what may be asked again is simply newer than anything there was.
    const from = mayAskAgain(row) ? { ...row, ...knowledge.newestStanding(row) } : row
    const kept = renewedBy(from, tokens, this.#attemptId)
    this.#kept = kept
    if (isJournalled(row.provider.kind)) this.#journal(row, kept.tokens)
    knowledge.note(row.configId, kept)
    this.#run.keep(kept)
    return { type: 'kept', credential: kept }
  }

  #journal({ configId, loginAt, version: fromVersion }: Credential, tokens: TokenSet): void {
    const attemptId = this.#attemptId
    try {
      this.#parts.journal.keep({ attemptId, configId, loginAt, fromVersion, tokens, at: Date.now() })
    } catch (error) {
      this.#parts.log.error({ err: error, configId }, 'an answer could not be journalled')
    }
  }

  /** Gives its turn at the authorization server back, if it has one. */
  endTurn(found?: Renewal): void {
    this.#turn?.end(found)
    this.#turn = undefined
  }

  /** A turn at the server first: no lease is held while waiting for one. */
  async #claimLease(row: Credential): Promise<Event> {
    const { provider } = row
    this.#turn = await this.#probes.turn(provider, () => this.#rankOf(row))
    if (!this.#turn) return this.#serverAway(row)
    // The journal next: whoever could not keep the answer leaves the lease to others.
    try {
      if (isJournalled(provider.kind)) this.#parts.journal.begin(this.#attemptId)
    } catch (error) {
      return { type: 'unprepared', why: error instanceof BrokerError ? error.message : String(error) }
    }
    this.#leasedAt = Date.now()
    this.#unsent.add(this.#attemptId, row.state)
    const granted = await this.#parts.store.claimLease(row, this.#parts.owner, this.#attemptId)
    if (!granted) this.#unsent.delete(this.#attemptId)
    return { type: granted ? 'lease_granted' : 'lease_refused' }
  }

  #rankOf(row: Credential): Rank {
    if (this.#run.isAwaited()) return 'caller'
    return isUsable(row, this.#parts.clock()) ? 'living' : 'ended'
  }

  /** A lease must outlive the request made under it; after a pause (SIGSTOP, a slow database) it would not. */
  #leaseIsTooOld({ provider }: Credential): boolean {
    return Date.now() - this.#leasedAt > LEASE_MS - provider.refresh.timeoutMs - LEASE_MARGIN_MS
  }

  /**
   * Again and again until the row holds the answer or has moved on, whatever the database says meanwhile: the
   * answer is in memory and must not be lost. What the row holds is asked without opening it, for its tokens may
   * be sealed with a key that is not ours.
   */
  async #store(row: Credential): Promise<Event> {
    const credential = this.#kept
    if (!credential) throw new Error('nothing was kept')
    if (this.#storeFailures > 0) await sleep(Math.min(25 * 2 ** this.#storeFailures, STORE_RETRY_MAX_MS))
    this.#storeFailures += 1
    const isStored = await this.#parts.store.storeRenewed(row, credential)
    // Not stored, yet there: an acknowledgement got lost on the way, but the write went through.
    const now = isStored ? undefined : await this.#standing()
    this.isLookedAfter = isStored || now?.lastAttemptId === this.#attemptId
    // A row that went back under us has not heard of it yet.
    if (this.isLookedAfter || !now || !isOlder(now, credential)) this.#parts.journal.done(this.#attemptId)
    return this.isLookedAfter ? { type: 'stored', credential } : { type: 'superseded' }
  }

  async #standing(): Promise<RowStanding | undefined> {
    return (await this.#parts.store.standings([this.#run.configId])).get(this.#run.configId)
  }

  async #release(action: Extract<Action, { do: 'release' }>): Promise<Event> {
    const { clock } = this.#parts
    const nextAt = action.backsOff ? nextAttemptAt(action, clock(), this.#run.failuresBefore) : 0
    // A row found in `refreshing` carries the attempt of the holder that is gone, until we asked for its lease.
    const attemptId = (this.#leasedAt === 0 && action.row.attempt.id) || this.#attemptId
    const isReleased = await this.#parts.store.release(action.row, attemptId, {
      state: action.state,
      nextAttemptAt: nextAt,
      error: action.why,
      isExpiring: action.isExpiring,
    })
    if (isReleased) this.#unsent.delete(attemptId)
    return { type: 'released', retryAt: nextAt }
  }
}
