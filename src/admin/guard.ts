/**
 * Who may manage: whoever sends the admin token, or the console with its cookie.
 *
 * A browser sends a cookie along whoever asks for it, so a call that changes something must also show the CSRF
 * token, which only our own page can read.
 */
import type { FastifyRequest } from 'fastify'
import { BrokerError } from '../base/errors.ts'
import { isSame, type Secret } from '../base/secret.ts'
import type { Actor } from '../storage/audit-log.ts'
import { type ConsoleSession, type ConsoleSessions, hasCookie } from './console-session.ts'
import type { EndedSessions } from './ended-sessions.ts'
import type { Refusals } from './refusals.ts'

export interface GuardParts {
  readonly adminToken: Secret
  /** Reads `/metrics` and nothing else. */
  readonly metricsToken: Secret | undefined
  readonly consoleSessions: ConsoleSessions
  readonly ended: EndedSessions
  readonly refusals: Refusals
  /** Writes it down; without that nobody is let in. */
  readonly signedIn: (by: Actor) => Promise<void>
}

/** Who makes a call that {@link Guard.check} let through. */
export function actorOf(request: FastifyRequest): Actor {
  const isBearer = request.headers.authorization?.startsWith('Bearer ')
  return { kind: isBearer ? 'admin token' : 'console', address: request.ip }
}

/** What the API's description says of a call behind {@link Guard.check}. */
export function guarded(operationId: string, tag: string, summary: string) {
  return { operationId, tags: [tag], summary, security: [{ adminToken: [] }, { consoleSession: [] }] }
}

const READING = new Set(['GET', 'HEAD', 'OPTIONS'])

export class Guard {
  readonly #parts: GuardParts

  constructor(parts: GuardParts) {
    this.#parts = parts
  }

  /** @throws BrokerError admin_token_required | csrf_token_required | rate_limit_exceeded | storage_unavailable */
  async check(request: FastifyRequest): Promise<void> {
    const { authorization } = request.headers
    if (!authorization?.startsWith('Bearer ')) {
      await this.checkSession(request)
      return
    }
    const presented = authorization.slice('Bearer '.length)
    if (isSame(presented, this.#parts.adminToken.reveal()) || this.#isMetricsToken(presented, request)) return
    throw await this.#parts.refusals.refuse(request)
  }

  /** The console's own session. @throws as {@link check} */
  async checkSession(request: FastifyRequest): Promise<ConsoleSession> {
    const { consoleSessions, ended, refusals } = this.#parts
    const { cookie } = request.headers
    const consoleSession = consoleSessions.read(cookie)
    if (!consoleSession)
      throw hasCookie(cookie) ? await refusals.refuse(request) : new BrokerError('admin_token_required')
    if ((await ended.among([consoleSession.id])).size > 0) throw new BrokerError('admin_token_required')
    const shown = request.headers['x-csrf-token']
    const isShown = typeof shown === 'string' && isSame(shown, consoleSession.csrfToken)
    if (!READING.has(request.method) && !isShown) throw new BrokerError('csrf_token_required')
    return consoleSession
  }

  /** @throws BrokerError admin_token_required | rate_limit_exceeded */
  async signIn(request: FastifyRequest, presented: string, isSecure: boolean) {
    const { adminToken, consoleSessions, refusals } = this.#parts
    if (!isSame(presented, adminToken.reveal())) throw await refusals.refuse(request)
    await this.#parts.signedIn({ kind: 'console', address: request.ip })
    return consoleSessions.open(isSecure)
  }

  /** On every replica. @returns the header that takes the cookie back. @throws as {@link check} */
  async signOut(request: FastifyRequest, isSecure: boolean): Promise<string> {
    await this.#parts.ended.end(await this.checkSession(request), { kind: 'console', address: request.ip })
    return this.#parts.consoleSessions.endCookie(isSecure)
  }

  /** Undefined for a call that has none, for instance one with the admin token. */
  sessionOf(request: FastifyRequest): ConsoleSession | undefined {
    return this.#parts.consoleSessions.read(request.headers.cookie)
  }

  /** Which of these sessions were signed out. @throws BrokerError storage_unavailable */
  endedAmong(sessions: readonly ConsoleSession[]): Promise<ReadonlySet<string>> {
    return this.#parts.ended.among(sessions.map(({ id }) => id))
  }

  #isMetricsToken(presented: string, request: FastifyRequest): boolean {
    const { metricsToken } = this.#parts
    const isRight = metricsToken !== undefined && isSame(presented, metricsToken.reveal())
    return isRight && request.routeOptions.url === '/metrics'
  }
}
