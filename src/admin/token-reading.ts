/**
 * Hands an access token out, refreshed if due, for software that must hold the token itself: a web session's own API,
 * git, a program that knows no base URL. Only where the operator allows it, and never without a line in the audit.
 */
import type { FoundKey } from '../api-key/api-key.ts'
import { BrokerError } from '../base/errors.ts'
import type { Credentials } from '../credential/credentials.ts'
import type { ModelConfigReader } from '../model-config/model-config-reader.ts'
import type { ModelConfigs } from '../model-config/model-configs.ts'
import type { Provider } from '../provider/provider.ts'
import { renewalClass } from '../provider/renewal-class.ts'
import { type Actor, recordAudit } from '../storage/audit-log.ts'
import type { Database } from '../storage/database.ts'
import type { HandedToken } from './config-answers.ts'

export interface TokenReadingParts {
  readonly database: Database
  readonly reader: Pick<ModelConfigReader, 'get'>
  readonly configs: Pick<ModelConfigs, 'ofScope'>
  readonly credentials: Pick<Credentials, 'usable'>
  readonly providers: ReadonlyMap<string, Provider>
}

export class TokenReading {
  readonly #parts: TokenReadingParts

  constructor(parts: TokenReadingParts) {
    this.#parts = parts
  }

  /**
   * @param key of whoever asks with one
   * @throws BrokerError config_not_found | no_token | credential_reauth_required | refresh_unavailable
   */
  async read(configId: string, by: Actor, key?: Pick<FoundKey, 'id' | 'name'>): Promise<HandedToken> {
    const { database, reader, credentials, providers } = this.#parts
    const row = await reader.get(configId)
    const provider = providers.get(row.provider)
    if (provider && (renewalClass(provider) === 'static' || provider.awsSigV4))
      throw new BrokerError('no_token')
    const { accessToken, tokenType, expiresAt } = (await credentials.usable(configId)).tokens
    const entry = { type: 'token.read', by, configId, ...(key && { key }) }
    await database.run((db) => recordAudit(db, database, entry)) // without that nobody gets it
    return { access_token: accessToken, token_type: tokenType, expires_at: expiresAt ?? null }
  }

  /**
   * For a broker key, of a config it is over. A token reaches every model, so a key that is limited to some gets none.
   * @throws as {@link read} | BrokerError token_reading_not_allowed
   */
  async readFor(key: FoundKey, configName: string, address: string): Promise<HandedToken> {
    if (!key.mayReadTokens || key.models !== null) throw new BrokerError('token_reading_not_allowed')
    const scope = await this.#parts.configs.ofScope(key.modelConfigIds)
    const config = scope.named(configName)
    if (!config) throw new BrokerError('config_not_found')
    return this.read(config.id, { kind: 'api key', address }, key)
  }
}
