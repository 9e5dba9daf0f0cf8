/**
 * What the management API does with model configs, between its routes and its rows.
 */
import type { Dispatcher } from 'undici'
import type { Clock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Provider } from '../base/provider.ts'
import { type Credential, fingerprint } from '../credential/credential.ts'
import { type CredentialStore, clearedColumns, parseMetadata } from '../credential/credential-store.ts'
import type { Credentials } from '../credential/credentials.ts'
import type { Model } from '../model-config/model-configs.ts'
import { sessionTokens } from '../oauth/session-renewal.ts'
import { daysRemaining } from '../oauth/session-token.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import { normalizeTokenType } from '../oauth/token-response.ts'
import { upstreamTarget } from '../upstream/resource-url.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { type Diagnosis, diagnose } from './diagnosis.ts'
import type { ConfigFields, ModelConfigStore, NewLogin, StoredConfig } from './model-config-store.ts'
import type { ConfigChangeBody, ConfigQuery, NewConfigBody, OAuthTokenBody } from './schemas.ts'

export interface ModelConfigAdminParts {
  readonly store: ModelConfigStore
  readonly credentialStore: CredentialStore
  readonly credentials: Credentials
  readonly keys: KeyRing
  readonly providers: ReadonlyMap<string, Provider>
  readonly clock: Clock
  readonly dispatcher: Dispatcher
  /** Tells the authorization server that a grant is over; never rejects. */
  readonly revoke: (credential: Credential) => Promise<void>
  /** The tokens of a finished device session. */
  readonly tokensOf: (sessionId: string) => Promise<{ provider: string; tokens: TokenSet }>
}

export class ModelConfigAdmin {
  readonly #parts: ModelConfigAdminParts

  constructor(parts: ModelConfigAdminParts) {
    this.#parts = parts
  }

  /** @throws BrokerError invalid_request | name_taken | session_not_found | session_not_ready */
  async create(body: NewConfigBody): Promise<object> {
    const provider = this.#parts.providers.get(body.provider)
    if (!provider) throw invalid('provider', `must be one of ${[...this.#parts.providers.keys()].join(', ')}`)
    const fields: ConfigFields = {
      name: body.name,
      provider: provider.name,
      base_url: this.#baseUrl(provider, body.base_url) ?? '',
      api_key: this.#apiKey(provider, body.api_key) ?? '',
      models: modelsOf(body.models),
      aliases: body.aliases ?? {},
      is_active: body.is_active ?? true,
    }
    if (provider.kind === 'api_key' && !fields.api_key)
      throw invalid('api_key', 'is needed for this provider')
    if (provider.kind === 'api_key' && !fields.base_url && !provider.upstream.baseUrl) {
      throw invalid('base_url', 'is needed for this provider')
    }
    const login = (await this.#login(provider, body)) ?? this.#withoutLogin(provider, body.api_key)
    const id = await this.#parts.store.create(fields, login)
    return this.get(id)
  }

  async get(id: string): Promise<object> {
    return this.#item(await this.#parts.store.get(id))
  }

  async list(query: ConfigQuery): Promise<object> {
    const page = query.page ?? 1
    const pageSize = query.page_size ?? 20
    const { total, rows } = await this.#parts.store.list({
      page,
      pageSize,
      provider: query.provider,
      isActive: query.is_active,
      namePart: query.q,
      states: query.state?.split(','),
    })
    return { total, page, page_size: pageSize, items: rows.map((row) => this.#item(row)) }
  }

  /** @throws BrokerError config_not_found | stale_update | name_taken | invalid_request | session_not_* */
  async update(id: string, body: ConfigChangeBody): Promise<object> {
    const row = await this.#parts.store.get(id)
    const provider = this.#parts.providers.get(row.provider)
    if (!provider) throw invalid('provider', `${row.provider} has no provider file any more`)
    if (body.provider !== undefined && body.provider !== row.provider)
      throw invalid('provider', 'cannot be changed')
    const baseUrl = this.#baseUrl(provider, body.base_url)
    const apiKey = this.#apiKey(provider, body.api_key || undefined)
    const changed: Partial<ConfigFields> = {
      ...(body.name !== undefined && { name: body.name }),
      ...(body.models && { models: modelsOf(body.models) }),
      ...(body.aliases && { aliases: body.aliases }),
      ...(body.is_active !== undefined && { is_active: body.is_active }),
      ...(baseUrl !== undefined && { base_url: baseUrl }),
      ...(apiKey && { api_key: apiKey }),
    }
    const login =
      (await this.#login(provider, body)) ?? (apiKey ? this.#withoutLogin(provider, body.api_key) : undefined)
    await this.#parts.store.update(id, changed, login, body.updated_at)
    this.#parts.credentials.forget(id)
    return this.get(id)
  }

  /** The grant is revoked where the server has an endpoint for it. @throws BrokerError config_not_found */
  async delete(id: string): Promise<void> {
    const held = await this.#parts.credentialStore.load(id).catch(() => undefined)
    await this.#parts.store.delete(id)
    this.#parts.credentials.forget(id)
    if (held) await this.#parts.revoke(held)
  }

  countStates(): Promise<Record<string, number>> {
    return this.#parts.store.countStates()
  }

  /** Names what is wrong with it, and what to do. @throws BrokerError config_not_found */
  async diagnose(id: string): Promise<Diagnosis> {
    const row = await this.#parts.store.get(id)
    return diagnose(id, JSON.parse(row.models) as Model[], this.#parts)
  }

  /** What a login page may tell about a config that is to be logged in again. */
  async loginTarget(id: string): Promise<{ configId: string; name: string; provider: string }> {
    const row = await this.#parts.store.get(id)
    return { configId: row.id, name: row.name, provider: row.provider }
  }

  /** Refreshes now. @throws BrokerError config_not_found | credential_reauth_required | refresh_unavailable */
  async refresh(id: string): Promise<object> {
    await this.#parts.credentials.renew(id)
    return this.get(id)
  }

  /** Base URLs of OAuth providers are the provider's or the token's: stored as ''. */
  #baseUrl(provider: Provider, text: string | undefined): string | undefined {
    if (provider.kind !== 'api_key') return text === undefined ? undefined : ''
    if (text) {
      try {
        upstreamTarget(provider, undefined, text)
      } catch {
        throw invalid('base_url', 'must be an https URL without user info, query or fragment')
      }
    }
    return text
  }

  #apiKey(provider: Provider, text: string | undefined): string | undefined {
    if (provider.kind !== 'api_key') return text === undefined ? undefined : ''
    if (!text) return undefined
    const { prefix, not, hint } = provider.apiKey
    if ((prefix && !text.startsWith(prefix)) || (not && text.startsWith(not))) {
      throw invalid('api_key', `is not a key of ${provider.label}${hint ? `: ${hint}` : ''}`)
    }
    return this.#parts.keys.seal(text)
  }

  async #login(provider: Provider, body: ConfigChangeBody): Promise<NewLogin | undefined> {
    const { oauth_token: given, oauth_session_id: sessionId } = body
    if (!given && !sessionId) return undefined
    if (given && sessionId) throw invalid('oauth_token', 'and oauth_session_id exclude each other')
    if (provider.kind === 'api_key') throw invalid('oauth_token', 'is not for API key providers')
    if (given) {
      const columns = this.#parts.credentialStore.seal(this.#tokens(provider, given))
      return { columns, sessionId: undefined }
    }
    const session = await this.#parts.tokensOf(sessionId ?? '')
    if (session.provider !== provider.name) {
      throw invalid('oauth_session_id', `belongs to provider ${session.provider}`)
    }
    const columns = this.#parts.credentialStore.seal(session.tokens)
    return { columns, sessionId: sessionId ?? undefined }
  }

  #withoutLogin(provider: Provider, apiKey: string | undefined): NewLogin {
    // A client's own token is fetched when it is first needed, by the way every token is renewed.
    if (provider.kind === 'client_credentials') {
      return { columns: { ...clearedColumns('active'), oauth_expires_at: 0 }, sessionId: undefined }
    }
    const isKey = provider.kind === 'api_key' && apiKey !== undefined
    return {
      columns: {
        ...clearedColumns(isKey ? 'active' : 'missing'),
        oauth_refresh_fingerprint: isKey ? fingerprint(apiKey) : null,
      },
      sessionId: undefined,
    }
  }

  /** @throws BrokerError invalid_request if the token names a host we would not send it to */
  #tokens(provider: Provider, given: OAuthTokenBody): TokenSet {
    const resourceUrl = given.resource_url ?? undefined
    try {
      if (resourceUrl) upstreamTarget(provider, resourceUrl, '')
    } catch (error) {
      throw new BrokerError('invalid_request', { reason: `oauth_token.${(error as BrokerError).detail}` })
    }
    if (provider.kind === 'session') {
      return sessionTokens(given.access_token, given.expires_at ?? undefined, undefined, given.token_type)
    }
    return {
      accessToken: given.access_token,
      refreshToken: given.refresh_token ?? undefined,
      tokenType: normalizeTokenType(given.token_type),
      scope: given.scope ?? undefined,
      expiresAt: given.expires_at ?? undefined,
      receivedAt: undefined,
      metadata: resourceUrl ? { resource_url: resourceUrl } : {},
    }
  }

  /** Never a token, never an API key. */
  #item(row: StoredConfig): object {
    const provider = this.#parts.providers.get(row.provider)
    const state = stateOf(row, this.#parts.clock())
    return {
      id: row.id,
      name: row.name,
      provider: row.provider,
      base_url: row.base_url,
      models: JSON.parse(row.models) as Model[],
      ...(row.aliases !== null && { aliases: JSON.parse(row.aliases) as object }),
      is_active: row.is_active === 1,
      created_at: row.created_at,
      updated_at: row.updated_at,
      credential: {
        kind: provider?.kind ?? null,
        state,
        expires_at: row.oauth_expires_at,
        refreshed_at: row.oauth_refreshed_at,
        scope: row.oauth_scope,
        resource_url: parseMetadata(row.oauth_metadata)['resource_url'] ?? null,
        fingerprint: row.oauth_refresh_fingerprint?.slice(0, 16) ?? null,
        next_action: nextAction(provider, state),
        ...(provider?.kind === 'session' && { session: sessionFacts(row, this.#parts.clock()) }),
      },
    }
  }
}

/** Token inspection of seed 001. */
function sessionFacts(row: StoredConfig, now: number): object {
  const metadata = parseMetadata(row.oauth_metadata)
  const expiresAt = row.oauth_expires_at
  return {
    user_id: metadata['user_id'] ?? null,
    issued_at: metadata['issued_at'] ?? null,
    expires_at: expiresAt,
    days_remaining: expiresAt === null ? null : daysRemaining(expiresAt, now),
  }
}

type ShownState = 'active' | 'refreshing' | 'uncertain' | 'cooling_down' | 'reauth_required' | 'missing'

function stateOf(row: StoredConfig, now: number): ShownState {
  const state = row.oauth_state as ShownState
  return state === 'active' && now < row.next_attempt_at ? 'cooling_down' : state
}

/** What a person can do about it. */
function nextAction(
  provider: Provider | undefined,
  state: ShownState,
): 'none' | 'wait' | 'login' | 'set_api_key' | 'restore_provider' {
  if (!provider) return 'restore_provider'
  if (state === 'active') return 'none'
  if (state !== 'reauth_required' && state !== 'missing') return 'wait'
  return provider.kind === 'api_key' ? 'set_api_key' : 'login'
}

function modelsOf(models: NewConfigBody['models']): Model[] {
  return models.map((model) => ({
    model_id: model.model_id,
    support_vision: model.support_vision ?? false,
    support_thinking: model.support_thinking ?? false,
  }))
}

function invalid(field: string, why: string): BrokerError {
  return new BrokerError('invalid_request', { reason: `${field} ${why}` })
}
