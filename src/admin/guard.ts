/**
 * Who may manage: whoever sends the admin token, or the console with its cookie.
 *
 * A browser sends a cookie along whoever asks for it, so a call that changes something must also show the CSRF
 * token, which only our own page can read.
 */
import type { FastifyRequest } from 'fastify'
import { BrokerError } from '../base/errors.ts'
import type { Secret } from '../base/secret.ts'
import { type ConsoleSession, type ConsoleSessions, isSame } from './console-session.ts'

const READING = new Set(['GET', 'HEAD', 'OPTIONS'])

export class Guard {
  readonly #adminToken: Secret
  readonly sessions: ConsoleSessions

  constructor(adminToken: Secret, sessions: ConsoleSessions) {
    this.#adminToken = adminToken
    this.sessions = sessions
  }

  isAdminToken(presented: string): boolean {
    return isSame(presented, this.#adminToken.reveal())
  }

  /** @throws BrokerError admin_token_required | csrf_token_required */
  check(request: FastifyRequest): void {
    const { authorization } = request.headers
    if (authorization?.startsWith('Bearer ')) {
      if (this.isAdminToken(authorization.slice('Bearer '.length))) return
      throw new BrokerError('admin_token_required')
    }
    this.checkSession(request)
  }

  /** The console's own session. @throws BrokerError admin_token_required | csrf_token_required */
  checkSession(request: FastifyRequest): ConsoleSession {
    const session = this.sessions.read(request.headers.cookie)
    if (!session) throw new BrokerError('admin_token_required')
    const shown = request.headers['x-csrf-token']
    const isShown = typeof shown === 'string' && isSame(shown, session.csrfToken)
    if (!READING.has(request.method) && !isShown) throw new BrokerError('csrf_token_required')
    return session
  }
}
