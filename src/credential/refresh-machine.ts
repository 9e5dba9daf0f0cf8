/**
 * The refresh state machine as one pure function: (phase, event) → the next phase and the one thing to do.
 *
 * Knows no clock, network or database, so that every path can be tabled and model-checked. `refresh.ts` is the
 * driver that does the things and reports what happened. docs/refresh.md draws it.
 *
 * Why so careful: a rotating refresh token is fatal to use twice (the server revokes the family, RFC 9700
 * §4.14.2), and its successor is fatal to lose once its answer was read.
 */
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import { type Credential, isUsable } from './credential.ts'

export type Phase =
  | { at: 'deciding' }
  /** Somebody else holds the lease. */
  | { at: 'watching' }
  /** Somebody may have spent the refresh token without storing the answer: did it reach a journal? */
  | { at: 'recovering'; row: Credential }
  | { at: 'claiming'; row: Credential }
  | { at: 'sending'; row: Credential }
  | { at: 'storing'; row: Credential }
  /** Told that the refresh token is dead: is it still the one in the row? */
  | { at: 'confirming'; row: Credential; why: string }
  | { at: 'clearing'; row: Credential }
  | { at: 'releasing'; why: string; next: 'settle' | 'decide' }
  | { at: 'settled'; outcome: Outcome }

export type Outcome =
  /** A newer version is there, ours or somebody else's. */
  | { kind: 'renewed'; credential: Credential }
  /** Nothing newer; the old access token goes on while it is valid. */
  | { kind: 'unchanged'; why: string; retryAt: number | undefined }
  | { kind: 'reauth_required' }

export type Action =
  | { do: 'read_row' }
  /** Read the row again after a short pause. */
  | { do: 'wait_and_read' }
  | { do: 'replay_journal'; row: Credential }
  | { do: 'claim_lease'; row: Credential }
  /** The only action that spends the refresh token. */
  | { do: 'send'; row: Credential }
  /** In the tick the answer was read: journal it and publish it in memory. */
  | { do: 'keep'; row: Credential; tokens: TokenSet }
  /** Write what was kept. */
  | { do: 'store'; row: Credential }
  | {
      do: 'release'
      row: Credential
      state: 'active' | 'uncertain'
      why: string
      backsOff: boolean
      isExpiring: boolean
      retryAfterMs: number | undefined
    }
  | { do: 'clear'; row: Credential; why: string }
  | { do: 'nothing' }

export type Event =
  | { type: 'row'; row: Credential | undefined; now: number; waitedMs: number }
  | { type: 'lease_granted' }
  | { type: 'lease_refused' }
  | { type: 'lease_lapsed' }
  | { type: 'journal_replayed'; found: boolean }
  | { type: 'answered'; renewal: Renewal }
  | { type: 'kept' }
  | { type: 'stored'; credential: Credential }
  /** The row moved on under us (a new login), or an earlier, unacknowledged write of ours went through. */
  | { type: 'superseded' }
  | { type: 'cleared'; done: boolean }
  | { type: 'released'; retryAt: number }
  | { type: 'storage_failed'; why: string }

export interface Step {
  readonly phase: Phase
  readonly action: Action
}

/** No caller waits longer (invariant I7). */
export const MAX_WATCH_MS = 12_000

/** What set a refresh off. */
export interface Cause {
  /** The version the caller found wanting; a higher one in the row ends the matter. */
  readonly version: number
  /** Upstream refused the token, or a person asks: back-off does not hold it up. */
  readonly isForced: boolean
}

export function transition(cause: Cause, phase: Phase, event: Event): Step {
  if (event.type === 'storage_failed') return onStorageFailure(phase, event.why)
  switch (phase.at) {
    case 'deciding':
    case 'watching':
      return event.type === 'row' ? decide(cause, event) : impossible(phase, event)
    case 'recovering':
      if (event.type !== 'journal_replayed') return impossible(phase, event)
      if (event.found) return { phase: { at: 'deciding' }, action: { do: 'read_row' } }
      if (phase.row.state === 'uncertain') return claim(phase.row)
      return giveBack(phase.row, 'the lease ran out while a refresh was under way')
    case 'claiming':
      if (event.type === 'lease_granted') {
        return { phase: { at: 'sending', row: phase.row }, action: { do: 'send', row: phase.row } }
      }
      return { phase: { at: 'watching' }, action: { do: 'read_row' } }
    case 'sending':
      // This process slept through its own lease: somebody else may be at work, so nothing is sent.
      if (event.type === 'lease_lapsed') return giveBack(phase.row, 'this process slept through its lease')
      return event.type === 'answered' ? onAnswer(phase.row, event.renewal) : impossible(phase, event)
    case 'storing':
      if (event.type === 'kept') {
        return { phase, action: { do: 'store', row: phase.row } }
      }
      if (event.type === 'stored') return settle({ kind: 'renewed', credential: event.credential })
      return { phase: { at: 'deciding' }, action: { do: 'read_row' } }
    case 'confirming':
      if (event.type !== 'row') return impossible(phase, event)
      if (!event.row || event.row.version > phase.row.version) return decide(cause, event)
      return {
        phase: { at: 'clearing', row: phase.row },
        action: { do: 'clear', row: phase.row, why: phase.why },
      }
    case 'clearing':
      if (event.type === 'cleared' && event.done) return settle({ kind: 'reauth_required' })
      return { phase: { at: 'deciding' }, action: { do: 'read_row' } }
    case 'releasing': {
      if (phase.next === 'decide') return { phase: { at: 'deciding' }, action: { do: 'read_row' } }
      const retryAt = event.type === 'released' ? event.retryAt : undefined
      return settle({ kind: 'unchanged', why: phase.why, retryAt })
    }
    case 'settled':
      return { phase, action: { do: 'nothing' } }
  }
}

/** What a row, freshly read, asks for. */
function decide(cause: Cause, { row, now, waitedMs }: Extract<Event, { type: 'row' }>): Step {
  if (!row || row.state === 'reauth_required' || row.state === 'missing') {
    return settle({ kind: 'reauth_required' })
  }
  if (row.version > cause.version) return settle({ kind: 'renewed', credential: row })
  if (row.leaseIsLive) {
    if (waitedMs >= MAX_WATCH_MS) return unchanged('another process is still refreshing', undefined)
    return { phase: { at: 'watching' }, action: { do: 'wait_and_read' } }
  }
  if (row.state === 'refreshing') return recover(row)
  if (now < row.nextAttemptAt && !cause.isForced) return unchanged('backing off', row.nextAttemptAt)
  // The refresh token may be spent: as long as the access token lives, finding out can only do harm.
  if (row.state !== 'uncertain') return claim(row)
  if (isUsable(row, now) && !cause.isForced) return unchanged('uncertain', row.expiresAt)
  return recover(row)
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
      return release(row, 'active', renewal.why, renewal.retryAfterMs, true)
    case 'unclear':
      return release(row, 'uncertain', renewal.why, undefined)
  }
}

/**
 * Before anything was sent a lost database only means "not now". After an answer was read it is kept in memory
 * and in the journal, and storing goes on until it succeeds.
 */
function onStorageFailure(phase: Phase, why: string): Step {
  if (phase.at === 'storing') {
    return { phase, action: { do: 'store', row: phase.row } }
  }
  if (phase.at === 'settled') return { phase, action: { do: 'nothing' } }
  return unchanged(`storage: ${why}`, undefined)
}

function release(
  row: Credential,
  state: 'active' | 'uncertain',
  why: string,
  retryAfterMs: number | undefined,
  isExpiring = false,
): Step {
  return {
    phase: { at: 'releasing', why, next: 'settle' },
    action: { do: 'release', row, state, why, backsOff: true, isExpiring, retryAfterMs },
  }
}

/** Gives an unused lease back, or one whose holder is gone, and looks at the row again. */
function giveBack(row: Credential, why: string): Step {
  // The holder may have sent before it died: from then on the refresh token counts as perhaps spent.
  const state = row.state === 'active' ? 'active' : 'uncertain'
  return {
    phase: { at: 'releasing', why, next: 'decide' },
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
