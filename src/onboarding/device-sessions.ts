/**
 * A login by device flow: start it, follow it, deliver its tokens (docs/api.md, Onboarding). Those by authorization code
 * (`code-logins.ts`) are followed here, too.
 */
import { randomBytes } from 'node:crypto'
import type { Transaction } from 'kysely'
import { MINUTE, SECOND } from '../base/clock.ts'
import { sha256 } from '../base/digest.ts'
import { BrokerError } from '../base/errors.ts'
import { every } from '../base/every.ts'
import type { Logger } from '../base/log.ts'
import type { NewLogins } from '../credential/new-logins.ts'
import { type DeviceAuthorization, requestDeviceAuthorization } from '../oauth/device-authorization.ts'
import { type DevicePoll, pollDeviceCode } from '../oauth/device-code-grant.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { Actor } from '../storage/audit-log.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import { DuplicateError } from '../storage/database.ts'
import { BATCH, inBatches } from '../storage/in-batches.ts'
import type { Tables } from '../storage/tables.ts'
import {
  type DeviceSession,
  errorOf,
  hasFailed,
  isConcluded,
  rowIdOf,
  type SessionKey,
  type SessionTarget,
} from './device-session.ts'
import type { DeviceSessionStore } from './device-session-store.ts'
import type { LoginServers } from './login-servers.ts'

interface Pending {
  status: 'pending'
  rowId: string
  retryAfterMs: number
}
export type SessionAnswer = Pending | { status: 'success'; rowId: string; tokens: TokenSet }
/** Of a session that logs a config in again. `approved`: its config does not have the tokens yet. */
export type LoginAnswer = Pending | { status: 'approved'; retryAfterMs: number } | { status: 'bound' }

export interface FinishedLogin {
  readonly provider: string
  readonly tokens: TokenSet
  /** In the transaction that stores the tokens. @throws BrokerError session_not_found if somebody else has them */
  readonly taken: (trx: Transaction<Tables>) => Promise<void>
}

export interface DeviceSessionParts {
  readonly store: DeviceSessionStore
  /** Those of logins that a link asked for go to their config. */
  readonly logins: Pick<NewLogins, 'give'>
  readonly serverOf: LoginServers
  readonly changes: Pick<ChangeWatcher, 'clock' | 'noticed'>
  readonly log: Logger
}

const MAX_LIFETIME_MS = 15 * MINUTE
/** RFC 8628 §3.5. */
const SLOW_DOWN_MS = 5 * SECOND
/** Added to the longest a poll may take: until then nobody else polls. */
const POLL_CLAIM_SLACK_MS = 5 * SECOND
/** An expired session is still known for a while, so that its page hears "too late" rather than "unknown". */
const KEPT_AFTER_EXPIRY_MS = 15 * MINUTE
const SWEEP_EVERY_MS = 5 * MINUTE
const BIND_AGAIN_MS = 2 * SECOND

export class DeviceSessions {
  readonly #store: DeviceSessionStore
  readonly #logins: DeviceSessionParts['logins']
  readonly #serverOf: LoginServers
  readonly #changes: DeviceSessionParts['changes']
  readonly #log: Logger
  #stopSweeping: (() => void) | undefined

  constructor(parts: DeviceSessionParts) {
    const { store, logins, serverOf, changes, log } = parts
    this.#store = store
    this.#logins = logins
    this.#serverOf = serverOf
    this.#changes = changes
    this.#log = log
  }

  /**
   * @param target a config to log in again; without it whoever asks binds the tokens
   * @throws BrokerError provider_not_found | inputs_required | login_superseded | device_authorization_failed
   */
  async start(
    provider: string,
    target?: SessionTarget,
  ): Promise<{ sessionId: string; session: DeviceSession; authorization: DeviceAuthorization }> {
    const server = await this.#serverOf(provider, target)
    const authorization = await requestDeviceAuthorization(server)
    if ('failure' in authorization) {
      throw new BrokerError('device_authorization_failed', { detail: authorization.failure })
    }
    const now = this.#changes.clock()
    const sessionId = randomBytes(24).toString('base64url')
    const session: DeviceSession = {
      id: rowIdOf(sessionId),
      provider,
      codeHash: sha256(authorization.deviceCode),
      deviceCode: authorization.deviceCode,
      codeVerifier: authorization.codeVerifier,
      redirectUri: undefined,
      intervalMs: authorization.intervalSeconds * SECOND,
      nextPollAt: now,
      status: 'pending',
      tokens: undefined,
      errorCode: undefined,
      createdAt: now,
      expiresAt: now + Math.trunc(Math.min(authorization.expiresInSeconds * SECOND, MAX_LIFETIME_MS)),
      target,
    }
    await this.#store.insert(session).catch(failedOf)
    return { sessionId, session, authorization }
  }

  /**
   * Where the login stands, after at most one poll of the authorization server. Its tokens go to whoever knows the
   * session; one that logs a config in again is unknown here, before and after.
   *
   * @throws BrokerError session_not_found | invalid_device_code | authorization_timeout | access_denied |
   *   authorization_server_refused | storage_unavailable | decryption_failed
   */
  async follow(provider: string, key: SessionKey, address: string): Promise<SessionAnswer> {
    const session = await this.#store.find(key)
    if (!session || session.provider !== provider || session.target) {
      throw new BrokerError('sessionId' in key ? 'session_not_found' : 'invalid_device_code')
    }
    return this.#look(session, address)
  }

  /**
   * Where a login stands that a link started. Whatever kept its tokens from their config when they came, the next
   * look takes it up again.
   *
   * @throws BrokerError login_superseded, or as {@link follow}
   */
  async followLogin(
    provider: string,
    sessionId: string,
    address: string,
    by: Actor = { kind: 'login link', address },
  ): Promise<LoginAnswer> {
    const session = await this.#store.find({ sessionId })
    if (!session?.target || session.provider !== provider) throw new BrokerError('session_not_found')
    const answer = isConcluded(session) ? undefined : await this.#look(session, address)
    if (answer?.status === 'pending') return answer
    if (answer) {
      const { target } = session
      try {
        await this.#store.bind(session, (trx) => this.#logins.give(trx, target, answer.tokens, by))
        this.#changes.noticed([{ kind: 'config', id: target.configId }])
      } catch (error) {
        this.#log.error({ err: error, configId: target.configId }, 'a login could not be stored yet')
        return { status: 'approved', retryAfterMs: BIND_AGAIN_MS }
      }
    }
    const concluded = answer ? await this.#store.find({ sessionId }) : session
    if (concluded?.status === 'bound') return { status: 'bound' }
    throw new BrokerError(concluded?.status === 'superseded' ? 'login_superseded' : 'authorization_timeout')
  }

  async #look(session: DeviceSession, address: string): Promise<SessionAnswer> {
    const now = this.#changes.clock()
    if (now >= session.expiresAt && session.status !== 'expired')
      await this.#store.expireSomeOverdue(now, BATCH)
    if (now >= session.expiresAt) throw errorOf('expired')
    if (hasFailed(session)) throw errorOf(session.status, session.errorCode)
    if (session.tokens) return { status: 'success', rowId: session.id, tokens: session.tokens }
    const server = await this.#serverOf(session.provider, session.target)
    if (session.redirectUri !== undefined) return awaited(session, now)
    const claimedUntil = now + server.provider.refresh.timeoutMs + POLL_CLAIM_SLACK_MS
    if (!(await this.#store.claimPoll(session, now, claimedUntil))) return tooEarly(session, now)
    const poll = await pollDeviceCode(server, session.deviceCode, session.codeVerifier, this.#changes.clock)
    return this.#conclude(session, poll, address)
  }

  /** The tokens of a finished login, to bind to a config. @throws BrokerError session_not_found | session_not_ready */
  async tokensOf(sessionId: string): Promise<FinishedLogin> {
    const session = await this.#store.find({ sessionId })
    if (!session || session.target || this.#changes.clock() >= session.expiresAt)
      throw new BrokerError('session_not_found')
    if (!session.tokens) throw new BrokerError('session_not_ready')
    const { provider, tokens } = session
    return { provider, tokens, taken: (trx) => this.#store.endTaken(trx, session) }
  }

  /** Clears old sessions now and every few minutes. */
  startSweeping(): void {
    const sweep = async () => {
      try {
        const now = this.#changes.clock()
        await inBatches((limit) => this.#store.expireSomeOverdue(now, limit))
        await inBatches((limit) => this.#store.deleteSomeExpired(now - KEPT_AFTER_EXPIRY_MS, limit))
      } catch (error) {
        this.#log.warn({ err: error }, 'old device sessions could not be cleared')
      }
    }
    void sweep()
    this.#stopSweeping = every(SWEEP_EVERY_MS, sweep)
  }

  stopSweeping(): void {
    this.#stopSweeping?.()
  }

  async #conclude(session: DeviceSession, poll: DevicePoll, address: string): Promise<SessionAnswer> {
    switch (poll.kind) {
      case 'tokens':
        await this.#store.succeed(session, poll.tokens, { kind: 'onboarding', address })
        return { status: 'success', rowId: session.id, tokens: poll.tokens }
      case 'denied':
      case 'expired':
      case 'unknown_code':
        await this.#store.end(session, poll.kind)
        throw errorOf(poll.kind)
      case 'refused':
        this.#log.warn({ provider: session.provider, why: poll.code }, 'the server refuses the login')
        await this.#store.end(session, poll.kind, poll.code)
        throw errorOf(poll.kind, poll.code)
      case 'no_answer':
        this.#log.warn({ provider: session.provider, why: poll.why }, 'poll without an answer')
        break
    }
    const intervalMs = session.intervalMs + (poll.kind === 'slow_down' ? SLOW_DOWN_MS : 0)
    await this.#store.pollAgain(session, this.#changes.clock() + intervalMs, intervalMs)
    return { status: 'pending', rowId: session.id, retryAfterMs: intervalMs }
  }
}

/** Whoever was given the code first would share the login. */
function failedOf(error: unknown): never {
  if (!(error instanceof DuplicateError)) throw error
  throw new BrokerError('device_authorization_failed', { detail: 'it gave a device code a second time' })
}

/** The browser has not come back yet, or what it brought is on its way. */
function awaited({ id, status, intervalMs, nextPollAt }: DeviceSession, now: number): SessionAnswer {
  if (status === 'redeeming' && now > nextPollAt) throw errorOf('unclear')
  return { status: 'pending', rowId: id, retryAfterMs: intervalMs }
}

/** Polled too early: `retry_after` is greater than the interval (docs/conformance.md). */
function tooEarly(session: DeviceSession, now: number): SessionAnswer {
  const waitMs = Math.max(session.nextPollAt - now, 1)
  const retryAfterMs = session.intervalMs + Math.min(waitMs, session.intervalMs)
  return { status: 'pending', rowId: session.id, retryAfterMs }
}
