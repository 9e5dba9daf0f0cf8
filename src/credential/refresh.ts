/**
 * Drives the refresh machine: single flight in this process first, the lease in the row second.
 *
 * A refresh belongs to the credential, not to a request: it takes no abort signal, and a client that leaves
 * never cancels it (invariant I6).
 */
import { DAY, MINUTE } from '../base/clock.ts'
import type { Provider } from '../provider/provider.ts'
import type { AttemptParts, Run } from './attempt-parts.ts'
import { type Credential, isOlder, type Standing } from './credential.ts'
import type { JustRead } from './credential-reader.ts'
import { Attempt } from './refresh-attempt.ts'
import { transition } from './refresh-machine.ts'
import type { Cause, Outcome, Step } from './refresh-step.ts'
import { replay } from './replay.ts'
import { ServerProbes } from './server-probe.ts'
import { UnsentAttempts } from './unsent-attempts.ts'

export interface RefreshParts extends AttemptParts {
  readonly providers: ReadonlyMap<string, Provider>
  /**
   * Makes a credential the one that callers in this process get.
   * @param seen the changes that were known of when its row was read
   */
  readonly publish: (credential: Credential, seen: number) => void
  /** The cached credential of this config is no longer worth anything. */
  readonly forget: (configId: string) => void
  /** Told once for every refresh, for the metrics. */
  readonly settled: (outcome: Outcome['kind']) => void
}

/** Which credential, and what of it was found wanting. */
export type Subject = Pick<Credential, 'configId' | 'loginAt' | 'version'>

export interface Flight {
  /** Epoch ms. */
  readonly startedAt: number
  /** Settles as soon as callers can go on: with new tokens in memory, even if the database is still to hear of it. */
  readonly outcome: Promise<Outcome>
  /** Settles when nothing is left to do. */
  readonly done: Promise<void>
}

interface OwnFlight extends Flight {
  readonly onlyRestores: boolean
  isAwaited: boolean
}

/** Those who want to know how a flight ends. */
interface Callers {
  readonly tell: (outcome: Outcome) => void
  readonly areWaiting: () => boolean
}

/** An answer for a config that is not there: its provider file may come back. */
const UNOWNED_KEPT_FOR_MS = 30 * DAY
/** A database that goes back loses what was written last: for so long every one of our writes is looked after. */
const LOOKED_AFTER_MS = 15 * MINUTE
/** Rows that are looked up in one query, and put right at the same time. */
const LOOK_UPS = 250
const AT_ONCE = 8

export class Refresher {
  readonly #parts: RefreshParts
  readonly #flights = new Map<string, OwnFlight>()
  /** Attempts in a row that brought nothing, by config. */
  readonly #failures = new Map<string, number>()
  readonly #unsent = new UnsentAttempts()
  #knownProbes: ServerProbes | undefined
  /** When this process stored what, by `performance.now()`, oldest first. */
  readonly #stored = new Map<string, number>()

  constructor(parts: RefreshParts) {
    this.#parts = parts
  }

  /** Not at the start, for all provider files have a say in it. */
  get #probes(): ServerProbes {
    this.#knownProbes ??= new ServerProbes(this.#parts.providers.values())
    return this.#knownProbes
  }

  /** The authorization server of this provider is away, and it is not the time to look again. */
  isHeld(provider: Provider): boolean {
    return this.#probes.isHeld(provider)
  }

  /**
   * Renews a credential once, for all callers of this process at the same time.
   * Never rejects for network, server or database trouble: that is `unchanged` or `refused`.
   * @param justRead saves reading the row again. Should it have moved on since, its lease is refused
   */
  refresh(credential: Subject, isForced = false, justRead?: JustRead): Flight {
    const { loginAt, version } = credential
    const flight = this.#fly(credential, { loginAt, version, isForced }, justRead)
    flight.isAwaited = true
    return flight
  }

  /** The same for one that nobody waits for: at the authorization server it gives way to those that are waited for. */
  refreshInBackground(justRead: JustRead): Flight {
    const { loginAt, version } = justRead.row
    return this.#fly(justRead.row, { loginAt, version, isForced: false }, justRead)
  }

  /** The row is older than what is known: stores that again, and sends nothing. Never rejects, as {@link refresh}. */
  putRight(known: Subject): Flight {
    const { loginAt, version } = known
    return this.#fly(known, { loginAt, version, isForced: false, onlyRestores: true })
  }

  #fly({ configId }: Subject, cause: Cause, justRead?: JustRead): OwnFlight {
    const running = this.#flights.get(configId)
    const { onlyRestores = false } = cause
    if (running && (onlyRestores || !running.onlyRestores)) return running
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    const callers = { tell: resolve, areWaiting: () => flight.isAwaited }
    const run = (begin?: JustRead) => this.#run(cause, callers, { configId, justRead: begin })
    const done = (running ? running.done.then(() => run()) : run(justRead))
      .catch((error: unknown) => {
        this.#parts.log.error({ err: error, configId }, 'refresh failed')
        resolve({ kind: 'unchanged', why: 'internal error', retryAt: undefined })
      })
      .finally(() => {
        if (this.#flights.get(configId) === flight) this.#flights.delete(configId)
      })
    const flight = { startedAt: Date.now(), outcome: promise, done, onlyRestores, isAwaited: false }
    this.#flights.set(configId, flight)
    return flight
  }

  /**
   * At start: finishes what a process before us began.
   * @param isOver asked in between: nobody wants it any more
   * @throws BrokerError storage_unavailable if it cannot be read
   */
  async recover(isOver = () => false): Promise<void> {
    const { journal, store, log } = this.#parts
    await journal.whenRead()
    for (const { configId, attemptId, loginAt, fromVersion, at } of journal.pending()) {
      if (isOver()) return
      try {
        const row = await store.load(configId)
        if (!row) {
          // Deleted, or its provider file is away.
          if (Date.now() - at > UNOWNED_KEPT_FOR_MS) journal.done(attemptId)
        } else if (isOlder({ loginAt, version: fromVersion }, row)) journal.done(attemptId)
        else if (await replay(this.#parts, row)) log.info({ configId, outcome: 'recovered' }, 'journal')
      } catch (error) {
        // One row that cannot be opened or written holds up neither the start nor the others.
        log.error({ err: error, configId }, 'an answer in the journal cannot be stored yet')
      }
    }
    await this.#lookAfter(this.#parts.knowledge.standings(), isOver)
  }

  /** The database went back to an earlier state: everything known is held against it. */
  async putAllRight(): Promise<void> {
    await this.#lookAfter(this.#parts.knowledge.standings())
  }

  /**
   * Whether what this process stored lately is still there; one query, and none if there is nothing to look after.
   * A database that goes back loses what was written last: the others are looked after once some of these are lost.
   */
  async lookAfterStored(): Promise<void> {
    const lately: [string, Standing][] = []
    for (const [configId, storedAt] of this.#stored) {
      const standing = this.#parts.knowledge.standing(configId)
      if (performance.now() - storedAt > LOOKED_AFTER_MS || !standing) this.#stored.delete(configId)
      else lately.push([configId, standing])
    }
    const areLost = await this.#lookAfter(lately.slice(-LOOK_UPS))
    if (areLost) await this.#lookAfter(lately.slice(0, -LOOK_UPS))
  }

  /** @returns whether any of them was behind */
  async #lookAfter(known: Iterable<[string, Standing]>, isOver = () => false): Promise<boolean> {
    const { store, journal, knowledge } = this.#parts
    let areLost = false
    for (const some of inPages(known, LOOK_UPS)) {
      if (isOver()) break
      const rows = await store.standings(some.map(([configId]) => configId))
      const outdated: Subject[] = []
      for (const [configId, { loginAt, version }] of some) {
        const row = rows.get(configId)
        if (!row) {
          journal.forget(configId)
          knowledge.forget(configId)
        } else if (isOlder(row, { loginAt, version }) && !this.#flights.has(configId)) {
          outdated.push({ configId, loginAt, version })
        }
      }
      areLost ||= outdated.length > 0
      for (let next = 0; next < outdated.length; next += AT_ONCE) {
        await Promise.all(outdated.slice(next, next + AT_ONCE).map((one) => this.putRight(one).done))
      }
    }
    return areLost
  }

  /** Resolves when no refresh is under way, so that a shutdown does not cut one off. */
  async idle(): Promise<void> {
    while (this.#flights.size > 0) await Promise.all([...this.#flights.values()].map((flight) => flight.done))
  }

  /** Resolves when no answer of a server is on its way any more: the last are in the journal, if not in their rows. */
  async answered(): Promise<void> {
    await Promise.all([...this.#flights.values()].map((flight) => flight.outcome))
  }

  async #run(
    cause: Cause,
    callers: Callers,
    { configId, justRead }: Pick<Run, 'configId' | 'justRead'>,
  ): Promise<void> {
    const { log, publish, forget, knowledge, journal } = this.#parts
    // What cannot be read is met again by the first step that needs it.
    if (!journal.isRead) await journal.whenRead().catch(() => {})
    knowledge.note(configId, cause)
    const failures = this.#failures.get(configId) ?? 0
    const keep = (kept: Credential) => {
      publish(kept, attempt.seen)
      callers.tell({ kind: 'renewed', credential: kept })
    }
    const attempt = new Attempt(this.#parts, this.#unsent, this.#probes, {
      configId,
      justRead,
      failuresBefore: failures,
      keep,
      isAwaited: callers.areWaiting,
    })
    let step: Step = { phase: { at: 'deciding' }, action: { do: 'read_row' } }
    while (step.phase.at !== 'settled') {
      const event = await attempt.perform(step.action)
      step = transition(cause, step.phase, event)
      if (step.action.do !== 'send') attempt.endTurn()
    }
    const { outcome } = step.phase
    if (outcome.kind === 'renewed') publish(outcome.credential, attempt.seen)
    if (attempt.isLookedAfter) {
      this.#stored.delete(configId)
      this.#stored.set(configId, performance.now())
    }
    if (outcome.kind === 'reauth_required') forget(configId)
    const isVain = outcome.kind === 'unchanged' || outcome.kind === 'refused'
    if (!isVain) this.#failures.delete(configId)
    else if (attempt.hasSent) this.#failures.set(configId, failures + 1)
    callers.tell(outcome)
    this.#parts.settled(outcome.kind)
    log.info(
      { configId, outcome: outcome.kind, why: whyOf(outcome), expiresAt: expiryOf(outcome) },
      'refresh',
    )
  }
}

/** Read as they are wanted: they may be very many. */
function* inPages<T>(all: Iterable<T>, size: number): Generator<T[]> {
  let page: T[] = []
  for (const one of all) {
    page.push(one)
    if (page.length < size) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

/** When what was renewed ends, where somebody said. */
function expiryOf(outcome: Outcome): string | undefined {
  const expiresAt = outcome.kind === 'renewed' ? outcome.credential.tokens.expiresAt : undefined
  return expiresAt === undefined ? undefined : new Date(expiresAt).toISOString()
}

function whyOf(outcome: Outcome): string | undefined {
  return 'why' in outcome ? outcome.why : undefined
}
