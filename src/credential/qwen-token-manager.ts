/**
 * One login on a JSON file, for the command line: a valid access token whenever asked, refreshed if due.
 */
import { type Clock, systemClock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Provider } from '../base/provider.ts'
import { AuthorizationServer } from '../oauth/authorization-server.ts'
import { refreshToken } from '../oauth/refresh-token-grant.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import { isDue } from './credential.ts'
import { defaultFile, TokenPersistence } from './persistence/token-persistence.ts'

export class QwenTokenManager {
  static readonly #instances = new Map<string, QwenTokenManager>()
  readonly provider: Provider
  readonly persistence: TokenPersistence
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
    if (!tokens) throw new BrokerError('credential_reauth_required', { reason: 'nobody is logged in' })
    return tokens
  }

  #isDue({ expiresAt, receivedAt }: TokenSet): boolean {
    return isDue({ provider: this.provider, expiresAt, refreshedAt: receivedAt }, this.#clock())
  }

  async #refresh(tokens: TokenSet): Promise<string> {
    if (tokens.refreshToken === undefined) throw new BrokerError('credential_reauth_required')
    const server = new AuthorizationServer(this.provider)
    const renewal = await refreshToken(server, tokens.refreshToken, this.#clock)
    if (renewal.kind === 'tokens') {
      await this.persistence.save({
        ...renewal.tokens,
        refreshToken: renewal.tokens.refreshToken ?? tokens.refreshToken,
        scope: renewal.tokens.scope ?? tokens.scope,
        metadata: { ...tokens.metadata, ...renewal.tokens.metadata },
      })
      return renewal.tokens.accessToken
    }
    if (renewal.kind === 'invalid_grant') {
      await this.persistence.clear()
      throw new BrokerError('credential_reauth_required')
    }
    if (tokens.expiresAt === undefined || this.#clock() < tokens.expiresAt) return tokens.accessToken
    throw new BrokerError('refresh_unavailable', { detail: renewal.why })
  }
}
