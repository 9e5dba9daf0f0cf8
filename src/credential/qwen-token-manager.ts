/**
 * One login on a JSON file, for the command line: a valid access token whenever asked, refreshed if due.
 */
import type { Dispatcher } from 'undici'
import { type Clock, systemClock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { readProxies } from '../base/proxy-settings.ts'
import { chooseProxy } from '../http1/egress-proxy.ts'
import { numberOf } from '../oauth/answer-body.ts'
import { AuthorizationServer } from '../oauth/authorization-server.ts'
import { type Renewal, refreshToken } from '../oauth/refresh-token-grant.ts'
import { followedBy, type TokenSet } from '../oauth/token-response.ts'
import { renewWebSession } from '../oauth/web-session-renewal.ts'
import type { Provider } from '../provider/provider.ts'
import { Agents, createLoginAgent } from '../upstream/agent.ts'
import { isDue } from './credential.ts'
import { defaultFile, TokenPersistence } from './persistence/token-persistence.ts'

export class QwenTokenManager {
  static readonly #instances = new Map<string, QwenTokenManager>()
  readonly provider: Provider
  readonly persistence: TokenPersistence
  readonly dispatcher: Dispatcher
  readonly #clock: Clock

  /** The one manager of this process for a provider's file. */
  static getInstance(provider: Provider, file: string = defaultFile(provider.name)): QwenTokenManager {
    const known = QwenTokenManager.#instances.get(file)
    if (known) return known
    const manager = new QwenTokenManager(provider, new TokenPersistence(file), systemClock)
    QwenTokenManager.#instances.set(file, manager)
    return manager
  }

  private constructor(provider: Provider, persistence: TokenPersistence, clock: Clock) {
    this.provider = provider
    const agents = new Agents(createLoginAgent, chooseProxy(readProxies(process.env)))
    this.dispatcher = agents.of(provider.egress)
    this.persistence = persistence
    this.#clock = clock
  }

  /** The login as it is on file, expired or not. */
  status(): Promise<TokenSet | undefined> {
    return this.persistence.load()
  }

  save(tokens: TokenSet): Promise<void> {
    return this.persistence.exclusively(() => this.persistence.save(tokens))
  }

  logout(): Promise<void> {
    return this.persistence.exclusively(() => this.persistence.clear())
  }

  /**
   * A token that is still good, after a refresh if one is due.
   * @throws BrokerError credential_reauth_required (no login, or it is dead) | refresh_unavailable
   */
  async accessToken(): Promise<string> {
    const tokens = await this.#present()
    if (!this.#isDue(tokens)) return tokens.accessToken
    return this.persistence.exclusively(async () => {
      const current = await this.#present() // another process may have refreshed while we waited
      return this.#isDue(current) ? this.#refresh(current) : current.accessToken
    })
  }

  async #present(): Promise<TokenSet> {
    const tokens = await this.persistence.load()
    if (!tokens)
      throw new BrokerError('credential_reauth_required', {
        reason: { english: 'nobody is logged in', chinese: '尚未登录' },
      })
    return tokens
  }

  /** A session that its server did not extend is left alone for a while, as long as it is valid. */
  #isDue(tokens: TokenSet): boolean {
    const now = this.#clock()
    if (!isDue({ provider: this.provider, tokens }, now)) return false
    const { expiresAt, metadata } = tokens
    const checkedAt = numberOf(metadata['checked_at'])
    const pause = this.provider.webSession?.checkEveryMs ?? 0
    const isResting = checkedAt !== undefined && now < checkedAt + pause
    return !isResting || (expiresAt !== undefined && now >= expiresAt)
  }

  /** Whatever became of the renewal, a token that is still valid is handed out. */
  async #refresh(tokens: TokenSet): Promise<string> {
    const renewal = await this.#renew(tokens)
    if (renewal?.kind === 'tokens') {
      await this.persistence.save(followedBy(tokens, renewal.tokens))
      return renewal.tokens.accessToken
    }
    if (renewal?.kind === 'invalid_grant') {
      await this.persistence.clear()
      throw new BrokerError('credential_reauth_required')
    }
    if (renewal?.kind === 'unmoved') {
      const metadata = { ...tokens.metadata, checked_at: this.#clock() }
      await this.persistence.save({ ...tokens, metadata })
    }
    if (tokens.expiresAt === undefined || this.#clock() < tokens.expiresAt) return tokens.accessToken
    if (!renewal || renewal.kind === 'unmoved') throw new BrokerError('credential_reauth_required')
    throw new BrokerError('refresh_unavailable', { detail: renewal.why })
  }

  /** Undefined if there is nothing to renew it with. */
  async #renew({ accessToken, refreshToken: token, expiresAt }: TokenSet): Promise<Renewal | undefined> {
    const { provider, dispatcher } = this
    if (provider.kind === 'session')
      return renewWebSession(provider, accessToken, expiresAt, this.#clock, dispatcher)
    if (token === undefined) return undefined
    return refreshToken(new AuthorizationServer(provider, dispatcher), token, this.#clock)
  }
}
