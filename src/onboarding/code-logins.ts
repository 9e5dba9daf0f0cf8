/**
 * A login by authorization code (RFC 6749 §4.1, RFC 7636) of a config that there is: a browser is sent to the server and
 * comes back with a code, or a person brings the address that it ended at.
 *
 * The code is sent once. If nobody knows what became of it, the login is over, and the person begins another one.
 */
import { randomBytes } from 'node:crypto'
import { MINUTE, SECOND, sleep, within } from '../base/clock.ts'
import { sha256 } from '../base/digest.ts'
import { BrokerError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { NewLogins } from '../credential/new-logins.ts'
import { answerIn, loopbackAddress, redeemCode, requestAuthorization } from '../oauth/authorization-code.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { Provider } from '../provider/provider.ts'
import type { Actor } from '../storage/audit-log.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import { type DeviceSession, errorOf, hasFailed, rowIdOf, type SessionTarget } from './device-session.ts'
import type { DeviceSessionStore } from './device-session-store.ts'
import { hasLoginCookie, loginCookie } from './login-cookie.ts'
import type { LoginServers } from './login-servers.ts'

export interface BegunLogin {
  readonly sessionId: string
  readonly session: DeviceSession
  /** Where a browser is sent. */
  readonly authorizationUrl: string
  readonly provider: Provider
  /** `Set-Cookie`, for the browser that is to come back by itself. */
  readonly cookie: string
}

/** `approved`: the config does not have the tokens yet. */
export type CodeLoginEnd = 'bound' | 'approved'

export interface CodeLoginParts {
  readonly store: DeviceSessionStore
  readonly logins: Pick<NewLogins, 'give'>
  readonly serverOf: LoginServers
  readonly changes: Pick<ChangeWatcher, 'clock' | 'noticed'>
  readonly log: Logger
}

const LIFETIME_MS = 10 * MINUTE
/** How often it makes sense to ask how it stands. */
const LOOK_EVERY_MS = 2 * SECOND
/** Beyond the longest that the server may take: until then nobody calls the login lost. */
const CLAIM_SLACK_MS = 5 * SECOND
/** A page is not held up for longer, and the tokens are stored behind it. */
const MAX_WAIT_MS = 5 * SECOND
const STORE_AGAIN_MS = SECOND
/** Then their config will have had another login, or nobody misses it. */
const STORE_FOR_MS = 30 * MINUTE

export class CodeLogins {
  readonly #parts: CodeLoginParts

  constructor(parts: CodeLoginParts) {
    this.#parts = parts
  }

  /**
   * @param base how people reach this broker, perhaps with a path
   * @throws BrokerError provider_not_found | inputs_required | login_superseded | authorization_server_unreachable
   */
  async start(name: string, target: SessionTarget, base: string): Promise<BegunLogin> {
    const { serverOf, changes, store } = this.#parts
    const server = await serverOf(name, target)
    const { provider } = server
    const redirectUri = redirectUriOf(provider, base)
    const request = await requestAuthorization(server, redirectUri)
    if ('failure' in request) {
      throw new BrokerError('authorization_server_unreachable', { detail: request.failure })
    }
    const now = changes.clock()
    const sessionId = randomBytes(24).toString('base64url')
    const session: DeviceSession = {
      id: rowIdOf(sessionId),
      provider: name,
      codeHash: sha256(request.state),
      deviceCode: '',
      codeVerifier: request.codeVerifier,
      redirectUri,
      intervalMs: LOOK_EVERY_MS,
      nextPollAt: now,
      status: 'pending',
      tokens: undefined,
      errorCode: undefined,
      createdAt: now,
      expiresAt: now + LIFETIME_MS,
      target,
    }
    await store.insert(session)
    const cookie = loginCookie(session, request.state)
    return { sessionId, session, authorizationUrl: request.url, provider, cookie }
  }

  /**
   * The session that a browser has come back for, if it is the one that began it.
   *
   * @param cookies the request's whole header
   * @throws BrokerError session_not_found | login_begun_elsewhere | login_used, or how it ended
   */
  async cameBack(
    provider: string,
    answer: URLSearchParams,
    cookies: string | undefined,
  ): Promise<DeviceSession> {
    const [state = '', ...more] = answer.getAll('state')
    const session = more.length === 0 ? await this.#parts.store.find({ state }) : undefined
    if (session?.provider !== provider) throw new BrokerError('session_not_found')
    this.#assertOpen(session)
    if (!hasLoginCookie(session, state, cookies)) throw new BrokerError('login_begun_elsewhere')
    return session
  }

  /**
   * The answer that a person brings.
   * @throws BrokerError session_not_found | login_used | pasted_address_unfit, or as {@link finish}
   */
  async paste(sessionId: string, pasted: string, by: Actor): Promise<CodeLoginEnd> {
    const session = await this.#parts.store.find({ sessionId })
    if (session?.redirectUri === undefined) throw new BrokerError('session_not_found')
    this.#assertOpen(session)
    const answer = answerIn(pasted, { redirectUri: session.redirectUri, stateHash: session.codeHash })
    if (!answer) throw new BrokerError('pasted_address_unfit')
    return this.finish(session, answer, by, true)
  }

  /**
   * Sends the code, and gives the tokens to the config.
   * @throws BrokerError login_used | login_superseded | access_denied | issuer_mismatch | authorization_server_refused |
   *   authorization_unclear | storage_unavailable | decryption_failed
   */
  async finish(
    session: DeviceSession,
    answer: URLSearchParams,
    by: Actor,
    isPasted = false,
  ): Promise<CodeLoginEnd> {
    const { store, serverOf, changes, log } = this.#parts
    const { redirectUri = '', codeVerifier = '', target } = session
    if (!target) throw new BrokerError('session_not_found')
    const server = await serverOf(session.provider, target)
    if (isPasted && !server.provider.authorizationServer?.redirect.canPaste)
      throw new BrokerError('pasted_address_unfit', { reason: NOT_PASTED })
    const until = changes.clock() + server.provider.refresh.timeoutMs + CLAIM_SLACK_MS
    if (!(await store.claimAnswer(session, until))) throw new BrokerError('login_used')
    const outcome = await redeemCode(server, answer, { redirectUri, codeVerifier }, changes.clock)
    if (outcome.kind === 'tokens') return this.#keep({ ...session, target }, outcome.tokens, by)
    const code = outcome.kind === 'refused' ? outcome.code : undefined
    const why = outcome.kind === 'unclear' ? outcome.why : (code ?? outcome.kind)
    log.warn({ provider: session.provider, why }, 'a login by authorization code brought nothing')
    await store.end(session, outcome.kind, code)
    throw errorOf(outcome.kind, code)
  }

  /** In the transaction that ends the session; whatever keeps them from it now is waited out. */
  async #keep(session: Targeted, tokens: TokenSet, by: Actor): Promise<CodeLoginEnd> {
    const storing = this.#store(session, tokens, by)
    storing.catch((error: unknown) => {
      this.#parts.log.error({ err: error, configId: session.target.configId }, 'a login could not be stored')
    })
    return (await within(MAX_WAIT_MS, storing)) ?? 'approved'
  }

  async #store(session: Targeted, tokens: TokenSet, by: Actor): Promise<CodeLoginEnd> {
    const { store, logins, changes, log } = this.#parts
    const { target } = session
    const until = changes.clock() + STORE_FOR_MS
    for (;;) {
      try {
        await store.bind(session, (trx) => logins.give(trx, target, tokens, by))
        changes.noticed([{ kind: 'config', id: target.configId }])
        const { status } = (await store.reread(session)) ?? session
        if (status === 'bound') return 'bound'
        throw new BrokerError('login_superseded')
      } catch (error) {
        const isLasting = error instanceof BrokerError && error.code !== 'storage_unavailable'
        if (isLasting || changes.clock() > until) throw error
        log.warn({ configId: target.configId }, 'a login is stored once the database is back')
      }
      await sleep(STORE_AGAIN_MS)
    }
  }

  /** @throws BrokerError */
  #assertOpen(session: DeviceSession): void {
    if (this.#parts.changes.clock() >= session.expiresAt) throw errorOf('expired')
    if (hasFailed(session)) throw errorOf(session.status, session.errorCode)
    if (session.status !== 'pending') throw new BrokerError('login_used')
  }
}

type Targeted = DeviceSession & { readonly target: SessionTarget }

const NOT_PASTED = { english: 'this provider takes no pasted address', chinese: '该提供方不支持粘贴地址' }

/** A path for each provider: the answer of one server is never taken for that of another (RFC 9700 §4.4.2.2). */
function redirectUriOf({ name, authorizationServer }: Provider, base: string): string {
  const redirect = authorizationServer?.redirect
  if (!redirect || redirect.hasCallback) return `${base.replace(/\/+$/, '')}/oauth/callback/${name}`
  return loopbackAddress(redirect.loopback)
}
