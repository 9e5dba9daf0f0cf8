/**
 * Device authorizations that wait for a person, and the rules for polling them (RFC 8628 §3.5).
 *
 * Knows nothing of HTTP or of the tokens that follow.
 */
import { randomInt } from 'node:crypto'
import Type from 'typebox'
import { type Clock, SECOND } from '../base/clock.ts'
import { isSame, randomText, sha256 } from './digest.ts'

export const DEVICE_CODE = Type.Object({
  codeHash: Type.String(),
  userCode: Type.String(),
  scope: Type.String(),
  codeChallenge: Type.String(),
  expiresAt: Type.Number(),
  intervalSeconds: Type.Number(),
  lastPollAt: Type.Number(),
  decision: Type.Union([Type.Literal('pending'), Type.Literal('approved'), Type.Literal('denied')]),
})
export type DeviceCode = Type.Static<typeof DEVICE_CODE>

export type Decision = 'approved' | 'denied'

export type PollRefusal =
  | 'invalid_grant'
  | 'expired_token'
  | 'slow_down'
  | 'authorization_pending'
  | 'access_denied'

export interface DeviceCodesOptions {
  readonly clock: Clock
  readonly deviceCodeSeconds: number
  readonly intervalSeconds: number
}

const SLOW_DOWN_SECONDS = 5
/** Clients measure the interval where they send, we where it arrives. */
const POLL_TOLERANCE_MS = 50
/** No vowels, so that no words appear (RFC 8628 §6.1). */
const USER_CODE_LETTERS = 'BCDFGHJKLMNPQRSTVWXZ'

export class DeviceCodes {
  readonly #options: DeviceCodesOptions
  readonly #byCode = new Map<string, DeviceCode>()

  constructor(options: DeviceCodesOptions) {
    this.#options = options
  }

  start(scope: string, codeChallenge: string): { deviceCode: string; userCode: string } {
    this.#forgetOld()
    const deviceCode = randomText(32)
    let userCode = newUserCode()
    while (this.find(userCode)) userCode = newUserCode()
    const { clock, deviceCodeSeconds, intervalSeconds } = this.#options
    this.#byCode.set(sha256(deviceCode), {
      codeHash: sha256(deviceCode),
      userCode,
      scope,
      codeChallenge,
      expiresAt: clock() + deviceCodeSeconds * SECOND,
      intervalSeconds,
      lastPollAt: 0,
      decision: 'pending',
    })
    return { deviceCode, userCode }
  }

  /** The granted scope, once; every later poll with the same code is `invalid_grant`. */
  poll(deviceCode: string, codeVerifier: string): { scope: string } | PollRefusal {
    const entry = this.#byCode.get(sha256(deviceCode))
    if (!entry) return 'invalid_grant'
    const now = this.#options.clock()
    if (now >= entry.expiresAt) return 'expired_token'
    // Checked on every poll, not only the last, so that a lost verifier shows at once.
    if (!isSame(sha256(codeVerifier), entry.codeChallenge)) return 'invalid_grant'
    const isTooEarly = now < entry.lastPollAt + entry.intervalSeconds * SECOND - POLL_TOLERANCE_MS
    entry.lastPollAt = now
    if (isTooEarly) {
      entry.intervalSeconds += SLOW_DOWN_SECONDS
      return 'slow_down'
    }
    if (entry.decision === 'pending') return 'authorization_pending'
    if (entry.decision === 'denied') return 'access_denied'
    this.#byCode.delete(entry.codeHash)
    return { scope: entry.scope }
  }

  /** By the code as a person types it: any case, with or without the dash (RFC 8628 §6.1). */
  find(typed: string): DeviceCode | undefined {
    const letters = typed.toUpperCase().replace(/[^A-Z0-9]/g, '')
    const userCode = `${letters.slice(0, 4)}-${letters.slice(4)}`
    for (const entry of this.#byCode.values()) if (entry.userCode === userCode) return entry
    return undefined
  }

  isExpired(entry: DeviceCode): boolean {
    return this.#options.clock() >= entry.expiresAt
  }

  /** False when there is no such code, or it is expired or already decided. */
  decide(typed: string, decision: Decision): boolean {
    const entry = this.find(typed)
    if (entry?.decision !== 'pending' || this.isExpired(entry)) return false
    entry.decision = decision
    return true
  }

  entries(): DeviceCode[] {
    return [...this.#byCode.values()]
  }

  restore(entries: readonly DeviceCode[]): void {
    for (const entry of entries) this.#byCode.set(entry.codeHash, entry)
  }

  /** An expired code is kept for one more lifetime, so that it is answered `expired_token` and not `invalid_grant`. */
  #forgetOld(): void {
    const { clock, deviceCodeSeconds } = this.#options
    for (const entry of this.#byCode.values()) {
      if (clock() >= entry.expiresAt + deviceCodeSeconds * SECOND) this.#byCode.delete(entry.codeHash)
    }
  }
}

function newUserCode(): string {
  const letters = Array.from({ length: 4 }, () => USER_CODE_LETTERS[randomInt(USER_CODE_LETTERS.length)])
  return `${letters.join('')}-${randomInt(10_000).toString().padStart(4, '0')}`
}
