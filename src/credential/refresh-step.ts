/**
 * The words of the refresh machine: what sets it off, the phases it goes through, what can happen in them, and what is to
 * be done then. `refresh-machine.ts` says which follows which.
 */
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { Credential, CredentialState, Standing } from './credential.ts'
import type { Ahead } from './knowledge.ts'

/** What set a refresh off: what the caller found wanting; a newer one in the row ends the matter. */
export interface Cause extends Standing {
  /** Upstream refused the token, or a person asks: back-off does not hold it up. */
  readonly isForced: boolean
  /** The row seems to have gone back: it is put right if it has, and nothing else is done. */
  readonly onlyRestores?: boolean
}

export type Phase =
  | { at: 'deciding' }
  /** Somebody else holds the lease. */
  | { at: 'watching' }
  /** Somebody may have spent the refresh token without storing the answer: did it reach a journal? */
  | { at: 'recovering'; row: Credential }
  | { at: 'claiming'; row: Credential }
  | { at: 'sending'; row: Credential }
  /** @property kept once it is in memory */
  | { at: 'storing'; row: Credential; kept?: Credential }
  /** The database is away, and what may be asked again is asked without a lease. */
  | { at: 'alone'; row: Credential }
  /** Told that the refresh token is dead: is it still the one in the row? */
  | { at: 'confirming'; row: Credential; why: string }
  | { at: 'clearing'; row: Credential }
  /** The row went back in time: what it had been is stored again. */
  | { at: 'restoring'; row: Credential; credential: Credential }
  | { at: 'releasing'; why: string; next: 'settle' | 'decide'; isUnmoved?: boolean; isRefused?: boolean }
  | { at: 'settled'; outcome: Outcome }

export type Outcome =
  /** A newer version is there, ours or somebody else's. */
  | { kind: 'renewed'; credential: Credential }
  /** Nothing newer; the old access token goes on while it is valid. */
  | {
      kind: 'unchanged'
      why: string
      retryAt: number | undefined
      /** Whoever renews it has answered that there is nothing newer. */
      isUnmoved?: boolean
    }
  /** A server refuses what the config was given; the old access token goes on while it is valid. */
  | { kind: 'refused'; why: string; retryAt: number }
  | { kind: 'reauth_required' }

export type Action =
  | { do: 'read_row' }
  /** Read the row again after a short pause. */
  | { do: 'wait_and_read' }
  | { do: 'replay_journal'; row: Credential }
  | { do: 'claim_lease'; row: Credential }
  /** The only action that spends the refresh token. */
  | { do: 'send'; row: Credential }
  /** As `send`, with neither a lease nor a row: only what may be asked again. */
  | { do: 'send_alone'; row: Credential }
  /** In the tick the answer was read: journal it and publish it in memory. */
  | { do: 'keep'; row: Credential; tokens: TokenSet }
  /** Write what was kept. */
  | { do: 'store'; row: Credential }
  | {
      do: 'release'
      row: Credential
      state: 'active' | 'uncertain' | 'refused'
      why: string
      backsOff: boolean
      isExpiring: boolean
      retryAfterMs: number | undefined
    }
  | { do: 'clear'; row: Credential; why: string }
  /** Store what is known over a row that is older. */
  | { do: 'restore'; row: Credential; credential: Credential }
  /** The row is older than what is known, and nobody has what followed it. */
  | { do: 'ask_for_login'; row: Credential; why: string }
  | { do: 'nothing' }

export type Event =
  | {
      type: 'row'
      row: Credential | undefined
      now: number
      waitedMs: number
      /** The row is leased by an attempt of this very process that never sent anything: its state before that. */
      unsentFrom?: CredentialState | undefined
      /** It was refused with files that are no longer what they were. */
      isMended?: boolean
      /** More is known than the row holds: the database went back in time. */
      ahead?: Ahead | undefined
    }
  /** No answer could be journalled now, so nothing is claimed either. */
  | { type: 'unprepared'; why: string }
  | { type: 'lease_granted' }
  | { type: 'lease_refused' }
  | { type: 'lease_lapsed' }
  /** Nobody is to ask the authorization server just now. */
  | { type: 'server_away'; retryAt: number }
  | { type: 'journal_replayed'; found: boolean }
  /** @property now epoch ms */
  | { type: 'answered'; renewal: Renewal; now: number }
  | { type: 'kept'; credential: Credential }
  | { type: 'stored'; credential: Credential }
  /** The row moved on under us (a new login), or an earlier, unacknowledged write of ours went through. */
  | { type: 'superseded' }
  | { type: 'cleared'; done: boolean }
  /** @property done false if the row moved on meanwhile */
  | { type: 'restored'; done: boolean; now: number }
  | { type: 'released'; retryAt: number }
  | {
      type: 'storage_failed'
      why: string
      now: number
      /** The newest that this process has in memory. */
      known: Credential | undefined
    }

export interface Step {
  readonly phase: Phase
  readonly action: Action
}
