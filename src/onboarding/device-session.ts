/**
 * A login that is under way: by device flow (RFC 8628), or by authorization code (RFC 6749 §4.1).
 */
import { sha256 } from '../base/digest.ts'
import { BrokerError, type ErrorCode } from '../base/errors.ts'
import type { TokenSet } from '../oauth/token-response.ts'

/**
 * With a target also: its config has the tokens, or got another login meanwhile. `redeeming`: the code that a browser
 * brought is on its way to the server.
 */
export type SessionStatus = 'pending' | 'redeeming' | 'success' | SessionEnd | 'bound' | 'superseded'
/**
 * `unknown_code` and `refused` are the server's verdicts on the device code and on us; a browser may bring the answer of a
 * `foreign` server; and of a code whose answer was `unclear` nobody knows whether it is spent.
 */
export type SessionEnd = 'denied' | 'expired' | 'unknown_code' | 'refused' | 'foreign' | 'unclear'

/** A config that a session logs in again, as long as it has had no other login since. */
export interface SessionTarget {
  readonly configId: string
  readonly configVersion: number
}

export interface DeviceSession {
  /** Of its row: {@link rowIdOf} what its page knows it by. Whoever reads the database cannot ask for its tokens. */
  readonly id: string
  readonly provider: string
  /** SHA-256 of its device code or, of a login by authorization code, of its `state`. */
  readonly codeHash: string
  /** '' of a login by authorization code. */
  readonly deviceCode: string
  readonly codeVerifier: string | undefined
  /** Where its browser comes back to; undefined: it is one of the device flow. */
  readonly redirectUri: string | undefined
  readonly intervalMs: number
  /** While it is `redeeming`: when the server's answer is overdue. */
  readonly nextPollAt: number
  readonly status: SessionStatus
  readonly tokens: TokenSet | undefined
  /** The server's word for it, of a session that was refused. */
  readonly errorCode: string | undefined
  readonly createdAt: number
  readonly expiresAt: number
  /** Undefined: whoever started the session binds its tokens. */
  readonly target: SessionTarget | undefined
}

/** What whoever follows a login knows of it. */
export type SessionKey = { sessionId: string } | { deviceCode: string } | { state: string }

/** @param sessionId as its page knows it */
export function rowIdOf(sessionId: string): string {
  return sha256(sessionId)
}

/** Nothing more will happen to it. */
export function isConcluded({ status }: DeviceSession): boolean {
  return status === 'bound' || status === 'superseded'
}

const ERROR_OF = {
  denied: 'access_denied',
  expired: 'authorization_timeout',
  unknown_code: 'invalid_device_code',
  refused: 'authorization_server_refused',
  foreign: 'issuer_mismatch',
  unclear: 'authorization_unclear',
} as const satisfies Record<SessionEnd, ErrorCode>

export function hasFailed(session: DeviceSession): session is DeviceSession & { status: SessionEnd } {
  return session.status in ERROR_OF
}

/** @param reason the server's code: one of the few we know, so nothing of ours or of the user's */
export function errorOf(end: SessionEnd, reason?: string): BrokerError {
  return new BrokerError(ERROR_OF[end], reason === undefined ? {} : { reason })
}
