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
import { type Credential, type CredentialState, isOlder, isUsable } from './credential.ts'
import type { Ahead } from './knowledge.ts'
import type { Cause, Event, Outcome, Phase, Step } from './refresh-step.ts'

/** No caller waits longer (invariant I7). */
export const MAX_WATCH_MS = 12_000
/** Whoever else may know what followed a row that went back has this long to store it. */
export const RESTORED_WITHIN_MS = 60_000
const LOOK_AGAIN_MS = 5_000

export function transition(cause: Cause, phase: Phase, event: Event): Step {
  if (event.type === 'storage_failed') return onStorageFailure(phase, event.why)
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
    case 'storing':
      if (event.type === 'kept') return { phase, action: { do: 'store', row: phase.row } }
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
      const retryAt = event.type === 'released' ? event.retryAt : undefined
      return settle({ kind: 'unchanged', why: phase.why, retryAt, isUnmoved: phase.isUnmoved === true })
    }
    case 'settled':
      return { phase, action: { do: 'nothing' } }
  }
}

const LOOK_AGAIN: Step = { phase: { at: 'deciding' }, action: { do: 'read_row' } }

function onReplay(row: Credential, isFound: boolean): Step {
  if (isFound) return LOOK_AGAIN
  if (row.state === 'uncertain') return claim(row)
  return giveBack(row, 'the lease ran out while a refresh was under way')
}

function onClaim(row: Credential, event: Event): Step {
  if (event.type === 'lease_granted') return { phase: { at: 'sending', row }, action: { do: 'send', row } }
  if (event.type === 'unprepared') return unchanged(event.why, undefined)
  if (event.type === 'server_away')
    return unchanged('the authorization server is away or busy', event.retryAt)
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
  const { row, now, waitedMs, unsentFrom, ahead } = event
  if (row && ahead?.credential) {
    const { credential } = ahead
    return { phase: { at: 'restoring', row, credential }, action: { do: 'restore', row, credential } }
  }
  if (!row || row.state === 'reauth_required' || row.state === 'missing') {
    return settle({ kind: 'reauth_required' })
  }
  if (ahead) return onOutdated(cause, row, now, ahead)
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
  if (row.state === 'refreshing') return recover(row)
  const { nextAt } = row.attempt
  if (now < nextAt && !cause.isForced) return unchanged('backing off', nextAt)
  // The refresh token may be spent: as long as the access token lives, finding out can only do harm.
  if (row.state !== 'uncertain') return claim(row)
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

function claim(row: Credential): Step {
  return { phase: { at: 'claiming', row }, action: { do: 'claim_lease', row } }
}

function recover(row: Credential): Step {
  return { phase: { at: 'recovering', row }, action: { do: 'replay_journal', row } }
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
      return release(
        row,
        row.state === 'uncertain' ? 'uncertain' : 'active',
        renewal.why,
        renewal.retryAfterMs,
      )
    case 'unmoved':
      return unmoved(row, renewal)
    case 'unclear':
      return release(row, 'uncertain', renewal.why, undefined)
  }
}

/**
 * Before anything was sent a lost database only means "not now". After an answer was read it is kept in memory
 * and in the journal, and storing goes on until it succeeds: whatever the database says, only the row itself can
 * end it. A claim that was not acknowledged may have been granted all the same, so its lease is given back.
 */
function onStorageFailure(phase: Phase, why: string): Step {
  switch (phase.at) {
    case 'storing':
      return { phase, action: { do: 'store', row: phase.row } }
    case 'settled':
      return { phase, action: { do: 'nothing' } }
    case 'restoring': // it stays in memory and in the journal, and is good for callers meanwhile
      return settle({ kind: 'renewed', credential: phase.credential })
    case 'claiming':
      return giveBack(phase.row, `storage: ${why}`, phase.row.state, 'settle')
    default:
      return unchanged(`storage: ${why}`, undefined)
  }
}

function release(
  row: Credential,
  state: 'active' | 'uncertain',
  why: string,
  retryAfterMs: number | undefined,
): Step {
  return {
    phase: { at: 'releasing', why, next: 'settle' },
    action: { do: 'release', row, state, why, backsOff: true, isExpiring: false, retryAfterMs },
  }
}

/** A session whose server has nothing newer: told to a person once it is due, and of no account before. */
function unmoved(
  row: Credential,
  { why, retryAfterMs, isEnding }: Extract<Renewal, { kind: 'unmoved' }>,
): Step {
  return {
    phase: { at: 'releasing', why, next: 'settle', isUnmoved: true },
    action: {
      do: 'release',
      row,
      state: 'active',
      why,
      backsOff: isEnding,
      isExpiring: isEnding,
      retryAfterMs,
    },
  }
}

/** Gives an unused lease back, or one whose holder is gone, and looks at the row again. */
function giveBack(
  row: Credential,
  why: string,
  // The holder may have sent before it died: from then on the refresh token counts as perhaps spent.
  before: CredentialState = row.state,
  next: 'settle' | 'decide' = 'decide',
): Step {
  const state = before === 'active' ? 'active' : 'uncertain'
  return {
    phase: { at: 'releasing', why, next },
    action: { do: 'release', row, state, why, backsOff: false, isExpiring: false, retryAfterMs: undefined },
  }
}

function unchanged(why: string, retryAt: number | undefined): Step {
  return settle({ kind: 'unchanged', why, retryAt })
}

function settle(outcome: Outcome): Step {
  return { phase: { at: 'settled', outcome }, action: { do: 'nothing' } }
}

function impossible(phase: Phase, event: Event): never {
  throw new Error(`refresh: ${event.type} while ${phase.at}`)
}
