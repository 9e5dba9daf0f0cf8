/**
 * A signed-in console: a signed cookie, and a second value that a page must send with what it changes.
 *
 * Nothing is stored, so every replica can tell; a new admin token ends all sessions.
 */
import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { type Clock, HOUR } from '../base/clock.ts'
import type { Secret } from '../base/secret.ts'

export interface ConsoleSession {
  /** Epoch ms. */
  readonly expiresAt: number
  /** For the `x-csrf-token` header; another site can neither read nor guess it. */
  readonly csrfToken: string
}

const LIFETIME_MS = 12 * HOUR
const COOKIE = 'token_broker_session'
const VALUE = /^(\d{13})\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})$/

export class ConsoleSessions {
  readonly #key: Buffer
  readonly #clock: Clock

  constructor(adminToken: Secret, clock: Clock) {
    this.#key = createHmac('sha256', adminToken.reveal()).update('token-broker console session 1').digest()
    this.#clock = clock
  }

  /** A new session and the header that sets its cookie. */
  open(isSecure: boolean): { session: ConsoleSession; cookie: string } {
    const expiresAt = Math.trunc(this.#clock()) + LIFETIME_MS
    const payload = `${expiresAt}.${randomBytes(16).toString('base64url')}`
    const value = `${payload}.${this.#sign('session', payload)}`
    const session = { expiresAt, csrfToken: this.#sign('csrf', payload) }
    return { session, cookie: setCookie(value, LIFETIME_MS / 1000, isSecure) }
  }

  /** @param cookies the request's whole header */
  read(cookies: string | undefined): ConsoleSession | undefined {
    const [, expiry, nonce, signature] = VALUE.exec(cookieOf(cookies) ?? '') ?? []
    if (!expiry || !signature) return undefined
    const payload = `${expiry}.${nonce}`
    if (!isSame(signature, this.#sign('session', payload)) || this.#clock() >= Number(expiry))
      return undefined
    return { expiresAt: Number(expiry), csrfToken: this.#sign('csrf', payload) }
  }

  #sign(purpose: 'session' | 'csrf', payload: string): string {
    return createHmac('sha256', this.#key).update(`${purpose}.${payload}`).digest('base64url')
  }
}

export function endCookie(isSecure: boolean): string {
  return setCookie('', 0, isSecure)
}

/** Digests are compared, so that neither length nor content shows in the time it takes. */
export function isSame(presented: string, expected: string): boolean {
  return timingSafeEqual(hash('sha256', presented, 'buffer'), hash('sha256', expected, 'buffer'))
}

function setCookie(value: string, maxAge: number, isSecure: boolean): string {
  return `${COOKIE}=${value}; Path=/; Max-Age=${maxAge}; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`
}

function cookieOf(header: string | undefined): string | undefined {
  const found = header?.split(';').find((part) => part.trimStart().startsWith(`${COOKIE}=`))
  return found?.trim().slice(COOKIE.length + 1)
}
