/**
 * A login by device flow: start it, follow it, deliver its tokens (interface.md §4).
 */
import { randomBytes } from 'node:crypto'
import { type Clock, MINUTE, SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { AuthorizationServer } from '../oauth/authorization-server.ts'
import { type DeviceAuthorization, requestDeviceAuthorization } from '../oauth/device-authorization.ts'
import { type DevicePoll, pollDeviceCode } from '../oauth/device-code-grant.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { DeviceSession, DeviceSessionStore, SessionKey } from './device-session-store.ts'

export type SessionAnswer =
  | { status: 'pending'; retryAfterMs: number }
  | { status: 'success'; tokens: TokenSet }

/** Gives the tokens of a finished session to a config that is logged in again. */
export type Bind = (configId: string, sessionId: string) => Promise<unknown>

const MAX_LIFETIME_MS = 15 * MINUTE
/** RFC 8628 §3.5. */
const SLOW_DOWN_MS = 5 * SECOND
/** Added to the longest a poll may take: until then nobody else polls. */
const POLL_CLAIM_SLACK_MS = 5 * SECOND
/** An expired session is still known for a while, so that its page hears "too late" rather than "unknown". */
const KEPT_AFTER_EXPIRY_MS = 15 * MINUTE
const SWEEP_EVERY_MS = 5 * MINUTE

export class DeviceSessions {
  readonly #store: DeviceSessionStore
  readonly #servers: (provider: string) => AuthorizationServer
  readonly #clock: Clock
  readonly #log: Logger
  readonly #bind: Bind
  #timer: NodeJS.Timeout | undefined

  constructor(
    store: DeviceSessionStore,
    servers: (provider: string) => AuthorizationServer,
    clock: Clock,
    log: Logger,
    bind: Bind,
  ) {
    this.#store = store
    this.#servers = servers
    this.#clock = clock
    this.#log = log
    this.#bind = bind
  }

  /**
   * @param configId a config to log in again; without it whoever asks binds the tokens
   * @throws BrokerError device_authorization_failed | storage_unavailable
   */
  async start(
    provider: string,
    configId?: string,
  ): Promise<{ session: DeviceSession; authorization: DeviceAuthorization }> {
    const authorization = await requestDeviceAuthorization(this.#servers(provider))
    if ('failure' in authorization) {
      throw new BrokerError('device_authorization_failed', { detail: authorization.failure })
    }
    const now = Math.trunc(this.#clock())
    const session: DeviceSession = {
      id: randomBytes(24).toString('base64url'),
      provider,
      deviceCode: authorization.deviceCode,
      codeVerifier: authorization.codeVerifier,
      intervalMs: authorization.intervalSeconds * SECOND,
      nextPollAt: now,
      status: 'pending',
      tokens: undefined,
      createdAt: now,
      expiresAt: now + Math.min(authorization.expiresInSeconds * SECOND, MAX_LIFETIME_MS),
      configId,
    }
    await this.#store.insert(session)
    return { session, authorization }
  }

  /**
   * Where the login stands, after at most one poll of the authorization server.
   *
   * @throws BrokerError session_not_found | invalid_device_code | authorization_timeout | access_denied |
   *   storage_unavailable | decryption_failed
   */
  async follow(provider: string, key: SessionKey): Promise<SessionAnswer> {
    const session = await this.#store.find(key)
    if (!session || session.provider !== provider) {
      throw new BrokerError('id' in key ? 'session_not_found' : 'invalid_device_code')
    }
    const now = Math.trunc(this.#clock())
    if (now >= session.expiresAt && session.status !== 'expired') await this.#store.expireOverdue(now)
    if (now >= session.expiresAt || session.status === 'expired')
      throw new BrokerError('authorization_timeout')
    if (session.status === 'denied') throw new BrokerError('access_denied')
    if (session.tokens) return { status: 'success', tokens: session.tokens }
    const server = this.#servers(provider)
    const claimedUntil = now + server.provider.refresh.timeoutMs + POLL_CLAIM_SLACK_MS
    if (!(await this.#store.claimPoll(session, now, claimedUntil))) return tooEarly(session, now)
    const poll = await pollDeviceCode(server, session.deviceCode, session.codeVerifier, this.#clock)
    return this.#conclude(session, poll)
  }

  /** The tokens of a finished login, to bind to a config. @throws BrokerError session_not_found | session_not_ready */
  async tokensOf(id: string): Promise<{ provider: string; tokens: TokenSet }> {
    const session = await this.#store.find({ id })
    if (!session || this.#clock() >= session.expiresAt) throw new BrokerError('session_not_found')
    if (!session.tokens) throw new BrokerError('session_not_ready')
    return { provider: session.provider, tokens: session.tokens }
  }

  /** Clears old sessions now and every few minutes. */
  startSweeping(): void {
    const sweep = async () => {
      try {
        await this.#store.expireOverdue(Math.trunc(this.#clock()))
        await this.#store.deleteExpired(this.#clock() - KEPT_AFTER_EXPIRY_MS)
      } catch (error) {
        this.#log.warn({ err: error }, 'old device sessions could not be cleared')
      }
    }
    sweep()
    this.#timer = setInterval(sweep, SWEEP_EVERY_MS).unref()
  }

  stopSweeping(): void {
    clearInterval(this.#timer)
  }

  async #conclude(session: DeviceSession, poll: DevicePoll): Promise<SessionAnswer> {
    switch (poll.kind) {
      case 'tokens':
        await this.#store.finish(session, 'success', poll.tokens)
        if (session.configId !== undefined) await this.#bind(session.configId, session.id)
        return { status: 'success', tokens: poll.tokens }
      case 'denied':
        await this.#store.finish(session, 'denied')
        throw new BrokerError('access_denied')
      case 'expired':
        await this.#store.finish(session, 'expired')
        throw new BrokerError('authorization_timeout')
      case 'no_answer':
        this.#log.warn({ provider: session.provider, why: poll.why }, 'poll without an answer')
        break
    }
    const intervalMs = session.intervalMs + (poll.kind === 'slow_down' ? SLOW_DOWN_MS : 0)
    await this.#store.pollAgain(session, Math.trunc(this.#clock()) + intervalMs, intervalMs)
    return { status: 'pending', retryAfterMs: intervalMs }
  }
}

/** Polled too early: `retry_after` is greater than the interval (seed 002, "轮询频率过高"). */
function tooEarly(session: DeviceSession, now: number): SessionAnswer {
  const waitMs = Math.max(session.nextPollAt - now, 1)
  return { status: 'pending', retryAfterMs: session.intervalMs + Math.min(waitMs, session.intervalMs) }
}
