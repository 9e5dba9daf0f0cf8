/**
 * A signed-in console: a signed cookie, and a second value that a page must send with what it changes.
 *
 * Every replica can tell it by the signature, and a new admin token ends all sessions; see `ended-sessions.ts` for
 * those that were signed out.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { type Clock, HOUR } from '../base/clock.ts'
import { sha256 } from '../base/digest.ts'
import { isSame, type Secret } from '../base/secret.ts'

export interface ConsoleSession {
  /** SHA-256 of what the cookie signs. */
  readonly id: string
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
  readonly #path: string

  /** @param basePath below which the console is, '' for none */
  constructor(adminToken: Secret, clock: Clock, basePath = '') {
    this.#key = createHmac('sha256', adminToken.reveal()).update('token-broker console session 1').digest()
    this.#clock = clock
    this.#path = basePath || '/'
  }

  /** A new session and the header that sets its cookie. */
  open(isSecure: boolean): { consoleSession: ConsoleSession; cookie: string } {
    const expiresAt = this.#clock() + LIFETIME_MS
    const payload = `${expiresAt}.${randomBytes(16).toString('base64url')}`
    const value = `${payload}.${this.#sign('session', payload)}`
    const consoleSession = this.#session(expiresAt, payload)
    return { consoleSession, cookie: this.#setCookie(value, LIFETIME_MS / 1000, isSecure) }
  }

  /** @param cookies the request's whole header */
  read(cookies: string | undefined): ConsoleSession | undefined {
    const [, expiry, nonce, signature] = VALUE.exec(cookieOf(cookies) ?? '') ?? []
    if (!expiry || !signature) return undefined
    const payload = `${expiry}.${nonce}`
    if (!isSame(signature, this.#sign('session', payload)) || this.#clock() >= Number(expiry))
      return undefined
    return this.#session(Number(expiry), payload)
  }

  #session(expiresAt: number, payload: string): ConsoleSession {
    return { id: sha256(payload), expiresAt, csrfToken: this.#sign('csrf', payload) }
  }

  /** What takes the cookie back. */
  endCookie(isSecure: boolean): string {
    return this.#setCookie('', 0, isSecure)
  }

  #setCookie(value: string, maxAge: number, isSecure: boolean): string {
    const attributes = `Path=${this.#path}; Max-Age=${maxAge}; HttpOnly; SameSite=Strict`
    return `${COOKIE}=${value}; ${attributes}${isSecure ? '; Secure' : ''}`
  }

  #sign(purpose: 'session' | 'csrf', payload: string): string {
    return createHmac('sha256', this.#key).update(`${purpose}.${payload}`).digest('base64url')
  }
}

/** Whether there is one at all, right or wrong. */
export function hasCookie(header: string | undefined): boolean {
  return Boolean(cookieOf(header))
}

function cookieOf(header: string | undefined): string | undefined {
  const found = header?.split(';').find((part) => part.trimStart().startsWith(`${COOKIE}=`))
  return found?.trim().slice(COOKIE.length + 1)
}
