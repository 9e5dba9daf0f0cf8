/**
 * The steps that the refresh machine chooses among; `refresh-machine.ts` says when.
 */
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import { type Credential, type CredentialState, mayAskAgain } from './credential.ts'
import type { Action, Event, Outcome, Phase, Step } from './refresh-step.ts'

export const LOOK_AGAIN: Step = { phase: { at: 'deciding' }, action: { do: 'read_row' } }

export function claim(row: Credential): Step {
  return { phase: { at: 'claiming', row }, action: { do: 'claim_lease', row } }
}

export function recover(row: Credential): Step {
  return { phase: { at: 'recovering', row }, action: { do: 'replay_journal', row } }
}

/** No tokens came: the lease is given back, and the next attempt is a while away. */
export function release(
  row: Credential,
  { why, retryAfterMs }: { readonly why: string; readonly retryAfterMs?: number | undefined },
  isUnclear = false,
): Step {
  const state = stateAfter(row, isUnclear)
  return releasing(row, { state, why: stillRefused(row) ?? why, backsOff: true, retryAfterMs })
}

/** What the config was given is refused: a person has to mend it. */
export function refused(row: Credential, why: string): Step {
  return releasing(row, { state: 'refused', why, backsOff: true })
}

/** A session whose server has nothing newer: told to a person once it is due, and of no account before. */
export function unmoved(
  row: Credential,
  { why, retryAfterMs, isEnding }: Extract<Renewal, { kind: 'unmoved' }>,
): Step {
  const how = { state: 'active', why, backsOff: isEnding, isExpiring: isEnding, retryAfterMs } as const
  return releasing(row, how, { isUnmoved: true })
}

/** Gives an unused lease back, or one whose holder is gone, and looks at the row again. */
export function giveBack(
  row: Credential,
  why: string,
  before: CredentialState = row.state,
  next: 'settle' | 'decide' = 'decide',
): Step {
  // The holder may have sent before it died: from then on a refresh token counts as perhaps spent.
  const state = stateAfter({ ...row, state: before }, before !== 'active')
  return releasing(row, { state, why: stillRefused(row) ?? why, backsOff: false }, { next })
}

/** What was refused is what a person has to mend, whatever came between. */
function stillRefused({ state, attempt }: Credential): string | undefined {
  return state === 'refused' ? attempt.lastError : undefined
}

function stateAfter(row: Credential, isUnclear: boolean): 'active' | 'uncertain' | 'refused' {
  if (mayAskAgain(row)) return row.state === 'refused' ? 'refused' : 'active'
  return isUnclear || row.state === 'uncertain' ? 'uncertain' : 'active'
}

type Releasing = Extract<Phase, { at: 'releasing' }>
type Release = Extract<Action, { do: 'release' }>

function releasing(
  row: Credential,
  how: Pick<Release, 'state' | 'why' | 'backsOff'> & Partial<Release>,
  then: Partial<Releasing> = {},
): Step {
  const { state, why } = how
  return {
    phase: { at: 'releasing', why, next: 'settle', isRefused: state === 'refused', ...then },
    action: { isExpiring: false, retryAfterMs: undefined, ...how, do: 'release', row },
  }
}

export function unchanged(why: string, retryAt: number | undefined): Step {
  return settle({ kind: 'unchanged', why, retryAt })
}

export function settle(outcome: Outcome): Step {
  return { phase: { at: 'settled', outcome }, action: { do: 'nothing' } }
}

export function impossible(phase: Phase, event: Event): never {
  throw new Error(`refresh: ${event.type} while ${phase.at}`)
}
