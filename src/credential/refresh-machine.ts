/**
 * The refresh state machine as one pure function: (phase, event) → the next phase and the one thing to do.
 *
 * Knows no clock, network or database, so that every path can be tabled and model-checked. `refresh-attempt.ts` is the
 * driver that does the things and reports what happened. docs/refresh-machine.md draws it.
 *
 * Why so careful: a rotating refresh token is fatal to use twice (the server revokes the family, RFC 9700
 * §4.14.2), and its successor is fatal to lose once its answer was read.
 */
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import { isJournalled } from '../provider/renewal-class.ts'
import { type Credential, isOlder, isUsable, mayAskAgain } from './credential.ts'
import type { Ahead } from './knowledge.ts'
import type { Cause, Event, Phase, Step } from './refresh-step.ts'
import {
  claim,
  giveBack,
  impossible,
  LOOK_AGAIN,
  recover,
  refused,
  release,
  settle,
  unchanged,
  unmoved,
} from './steps.ts'

/** No caller waits longer (invariant I7). */
export const MAX_WATCH_MS = 12_000
/** Whoever else may know what followed a row that went back has this long to store it. */
export const RESTORED_WITHIN_MS = 60_000
const LOOK_AGAIN_MS = 5_000
/** Without a row there is nothing to count by how often it was tried. */
const ALONE_AGAIN_MS = 5_000
const REFUSED_ALONE_AGAIN_MS = 30_000

export function transition(cause: Cause, phase: Phase, event: Event): Step {
  if (event.type === 'storage_failed') return onStorageFailure(cause, phase, event)
  switch (phase.at) {
    case 'deciding':
    case 'watching':
      return event.type === 'row' ? decide(cause, event) : impossible(phase, event)
    case 'recovering':
      return event.type === 'journal_replayed' ? onReplay(phase.row, event.found) : impossible(phase, event)
    case 'claiming':
      return onClaim(phase.row, event)
    case 'sending':
      // This process slept through its own lease: somebody else may be at work, so nothing is sent.
      if (event.type === 'lease_lapsed') return giveBack(phase.row, 'this process slept through its lease')
      return event.type === 'answered' ? onAnswer(phase.row, event.renewal) : impossible(phase, event)
    case 'alone':
      return onAnswerAlone(phase, event)
    case 'storing':
      if (event.type === 'kept') {
        return { phase: { ...phase, kept: event.credential }, action: { do: 'store', row: phase.row } }
      }
      return event.type === 'stored' ? settle({ kind: 'renewed', credential: event.credential }) : LOOK_AGAIN
    case 'confirming':
      return event.type === 'row' ? onConfirmation(cause, phase, event) : impossible(phase, event)
    case 'clearing':
      if (event.type === 'cleared' && event.done) return settle({ kind: 'reauth_required' })
      return LOOK_AGAIN
    case 'restoring':
      return event.type === 'restored' ? onRestored(cause, phase.credential, event) : impossible(phase, event)
    case 'releasing': {
      if (phase.next === 'decide') return LOOK_AGAIN
      const { why, isUnmoved = false, isRefused } = phase
      const retryAt = event.type === 'released' ? event.retryAt : undefined
      if (isRefused && retryAt !== undefined) return settle({ kind: 'refused', why, retryAt })
      return settle({ kind: 'unchanged', why, retryAt, isUnmoved })
    }
    case 'settled':
      return { phase, action: { do: 'nothing' } }
  }
}

function onReplay(row: Credential, isFound: boolean): Step {
  if (isFound) return LOOK_AGAIN
  if (row.state === 'uncertain' || mayAskAgain(row)) return claim(row)
  return giveBack(row, 'the lease ran out while a refresh was under way')
}

const SERVER_AWAY = 'the authorization server is away or busy'

function onClaim(row: Credential, event: Event): Step {
  if (event.type === 'lease_granted') return { phase: { at: 'sending', row }, action: { do: 'send', row } }
  if (event.type === 'unprepared') return unchanged(event.why, undefined)
  if (event.type === 'server_away') return unchanged(SERVER_AWAY, event.retryAt)
  return { phase: { at: 'watching' }, action: { do: 'read_row' } }
}

/** The refresh token is dead: only if it is still the one in the row is the login over. */
function onConfirmation(
  cause: Cause,
  { row, why }: Extract<Phase, { at: 'confirming' }>,
  event: Extract<Event, { type: 'row' }>,
): Step {
  if (!event.row || event.ahead?.credential || !isSame(event.row, row)) return decide(cause, event)
  return { phase: { at: 'clearing', row }, action: { do: 'clear', row, why } }
}

function onRestored(
  cause: Cause,
  credential: Credential,
  { done, now }: Extract<Event, { type: 'restored' }>,
): Step {
  const isEnough = cause.onlyRestores || (!cause.isForced && isUsable(credential, now))
  return done && isEnough ? settle({ kind: 'renewed', credential }) : LOOK_AGAIN
}

/** What a row, freshly read, asks for. */
function decide(cause: Cause, event: Extract<Event, { type: 'row' }>): Step {
  const { row, now, waitedMs, unsentFrom, ahead, isMended = false } = event
  if (row && ahead?.credential) {
    const { credential } = ahead
    return { phase: { at: 'restoring', row, credential }, action: { do: 'restore', row, credential } }
  }
  if (!row || row.state === 'reauth_required' || row.state === 'missing') {
    return settle({ kind: 'reauth_required' })
  }
  if (ahead && !mayAskAgain(row)) return onOutdated(cause, row, now, ahead)
  if (isOlder(cause, row)) return settle({ kind: 'renewed', credential: row })
  if (cause.onlyRestores) return unchanged('the row is as it was', undefined)
  // A claim whose answer got lost: only this process can know that nothing was sent under it.
  if (row.state === 'refreshing' && unsentFrom !== undefined) {
    return giveBack(row, 'an unused lease', unsentFrom)
  }
  if (row.attempt.leaseIsLive) {
    if (waitedMs >= MAX_WATCH_MS) return unchanged('another process is still refreshing', undefined)
    return { phase: { at: 'watching' }, action: { do: 'wait_and_read' } }
  }
  const isToBeFound = isJournalled(row.provider.kind)
  if (row.state === 'refreshing') return isToBeFound ? recover(row) : claim(row)
  const { nextAt, lastError = '' } = row.attempt
  if (now < nextAt && !cause.isForced && !isMended) {
    if (row.state === 'refused') return settle({ kind: 'refused', why: lastError, retryAt: nextAt })
    return unchanged('backing off', nextAt)
  }
  // The refresh token may be spent: as long as the access token lives, finding out can only do harm.
  if (row.state !== 'uncertain') return claim(row)
  if (mayAskAgain(row)) return recover(row)
  if (isUsable(row, now) && !cause.isForced) return unchanged('uncertain', row.tokens.expiresAt)
  return recover(row)
}

/**
 * Its refresh token was spent, and what it brought is not to be had here: it is never sent. The access token serves
 * while it lives; meanwhile another process may put the row right. In the end a person has to log in again.
 */
function onOutdated(cause: Cause, row: Credential, now: number, { isOver, forMs }: Ahead): Step {
  const why = 'the database went back to before the last refresh'
  const isServing = isUsable(row, now) && !cause.isForced
  if (!isOver && (isServing || forMs < RESTORED_WITHIN_MS)) return unchanged(why, now + LOOK_AGAIN_MS)
  return { phase: { at: 'clearing', row }, action: { do: 'ask_for_login', row, why } }
}

function isSame(one: Credential, other: Credential): boolean {
  return !isOlder(one, other) && !isOlder(other, one)
}

function onAnswer(row: Credential, renewal: Renewal): Step {
  switch (renewal.kind) {
    case 'tokens':
      return {
        phase: { at: 'storing', row },
        action: { do: 'keep', row, tokens: renewal.tokens },
      }
    case 'invalid_grant':
      return { phase: { at: 'confirming', row, why: renewal.why }, action: { do: 'read_row' } }
    case 'not_processed':
      return release(row, renewal)
    case 'refused':
      return refused(row, renewal.why)
    case 'unmoved':
      return unmoved(row, renewal)
    case 'unclear':
      return release(row, renewal, true)
  }
}

/** Its tokens stay in memory until the row can be put right. */
function onAnswerAlone(phase: Extract<Phase, { at: 'alone' }>, event: Event): Step {
  if (event.type === 'server_away') return unchanged(SERVER_AWAY, event.retryAt)
  if (event.type === 'kept') return settle({ kind: 'renewed', credential: event.credential })
  if (event.type !== 'answered') return impossible(phase, event)
  const { renewal, now } = event
  if (renewal.kind === 'tokens')
    return { phase, action: { do: 'keep', row: phase.row, tokens: renewal.tokens } }
  const { kind, why } = renewal
  if (kind === 'refused') return settle({ kind, why, retryAt: now + REFUSED_ALONE_AGAIN_MS })
  return unchanged(why, now + ALONE_AGAIN_MS)
}

/**
 * Before anything was sent a lost database only means "not now", unless asking costs nothing: then nobody has to wait for
 * it. After an answer was read it is kept in memory and in the journal, and storing goes on until it succeeds: whatever
 * the database says, only the row itself can end it. A claim that was not acknowledged may have been granted all the
 * same, so its lease is given back.
 */
function onStorageFailure(cause: Cause, phase: Phase, event: StorageFailed): Step {
  const { why } = event
  switch (phase.at) {
    case 'storing':
      // It has ended before there was a row to store it in: the next one is asked for without.
      if (phase.kept && isAskedAlone(phase.kept) && !isUsable(phase.kept, event.now))
        return unchanged(`storage: ${why}`, undefined)
      return { phase, action: { do: 'store', row: phase.row } }
    case 'deciding':
    case 'watching':
      return alone(cause, event) ?? unchanged(`storage: ${why}`, undefined)
    case 'settled':
      return { phase, action: { do: 'nothing' } }
    case 'restoring': // it stays in memory and in the journal, and is good for callers meanwhile
      return settle({ kind: 'renewed', credential: phase.credential })
    case 'claiming':
      return alone(cause, event) ?? giveBack(phase.row, `storage: ${why}`, phase.row.state, 'settle')
    default:
      return unchanged(`storage: ${why}`, undefined)
  }
}

type StorageFailed = Extract<Event, { type: 'storage_failed' }>

/** Without the database, once there is nothing else that serves. */
function alone(cause: Cause, { known, now }: StorageFailed): Step | undefined {
  if (!known || cause.onlyRestores || !isAskedAlone(known)) return undefined
  if (isOlder(cause, known) && isUsable(known, now)) return settle({ kind: 'renewed', credential: known })
  if (isUsable(known, now) && !cause.isForced) return undefined
  return { phase: { at: 'alone', row: known }, action: { do: 'send_alone', row: known } }
}

/** Nothing is lost with the process that has it in memory only. */
function isAskedAlone(row: Credential): boolean {
  return mayAskAgain(row) && !isJournalled(row.provider.kind)
}
