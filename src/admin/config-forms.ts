/**
 * What people write into the form of a config, judged by its provider before any of it is stored.
 */
import { BrokerError } from '../base/errors.ts'
import type { NewLogins } from '../credential/new-logins.ts'
import type { ConfigFields } from '../model-config/config-fields.ts'
import type { StoredConfig } from '../model-config/model-config-reader.ts'
import type { NewLogin } from '../model-config/model-config-store.ts'
import type { Model } from '../model-config/model-configs.ts'
import { lifeOfGiven, normalizeTokenType, type TokenSet } from '../oauth/token-response.ts'
import { webSessionTokens } from '../oauth/web-session-renewal.ts'
import { looksLikeKeyOf, type Provider } from '../provider/provider.ts'
import { upstreamTarget } from '../upstream/resource-url.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { ConfigChangeBody, NewConfigBody, OAuthTokenBody } from './schemas.ts'

export interface ConfigFormParts {
  readonly logins: Pick<NewLogins, 'ofTokens' | 'ofKey'>
  readonly keyRing: KeyRing
  /** Of a finished device session. @throws BrokerError session_not_found | session_not_ready */
  readonly tokensOf: (
    sessionId: string,
  ) => Promise<{ provider: string; tokens: TokenSet; taken: NonNullable<NewLogin['taken']> }>
}

export class ConfigForms {
  readonly #parts: ConfigFormParts

  constructor(parts: ConfigFormParts) {
    this.#parts = parts
  }

  /** Of a config that is to be made. @throws BrokerError invalid_request | session_not_found | session_not_ready */
  async read(provider: Provider, body: NewConfigBody): Promise<{ fields: ConfigFields; login: NewLogin }> {
    const fields: ConfigFields = {
      name: body.name,
      provider: provider.name,
      base_url: baseUrlOf(provider, body.base_url) ?? '',
      api_key: this.#apiKey(provider, body.api_key) ?? '',
      models: modelsOf(body.models),
      aliases: body.aliases ?? {},
      is_active: body.is_active ?? true,
      external_id: body.external_id ?? null,
    }
    if (provider.kind === 'api_key' && !fields.api_key)
      throw invalid('api_key', 'is needed for this provider', '该提供方需要填写')
    if (provider.kind === 'api_key' && !fields.base_url && !provider.upstream.baseUrl) {
      throw invalid('base_url', 'is needed for this provider', '该提供方需要填写')
    }
    const login = await this.#login(provider, body)
    return { fields, login: login ?? this.#parts.logins.ofKey(provider, body.api_key) }
  }

  /**
   * Of one that there is.
   * @param row as it is stored
   * @throws BrokerError invalid_request | session_not_found | session_not_ready
   */
  async readChange(
    provider: Provider,
    row: StoredConfig,
    body: ConfigChangeBody,
  ): Promise<{ changed: Partial<ConfigFields>; login: NewLogin | undefined }> {
    const baseUrl = baseUrlOf(provider, body.base_url)
    const apiKey = this.#apiKey(provider, body.api_key || undefined)
    if (baseUrl !== undefined && !apiKey && isElsewhere(provider, row, baseUrl))
      throw invalid(
        'api_key',
        'is needed again: base_url names another origin, where the stored key never goes',
        '需要重新填写：base_url 指向另一个来源，已存储的密钥不会发往那里',
      )
    const changed: Partial<ConfigFields> = {
      ...(body.name !== undefined && { name: body.name }),
      ...(body.models && { models: modelsOf(body.models) }),
      ...(body.aliases && { aliases: body.aliases }),
      ...(body.is_active !== undefined && { is_active: body.is_active }),
      ...(body.external_id !== undefined && { external_id: body.external_id }),
      ...(baseUrl !== undefined && { base_url: baseUrl }),
      ...(apiKey && { api_key: apiKey }),
    }
    const login = await this.#login(provider, body)
    const ofKey = apiKey ? this.#parts.logins.ofKey(provider, body.api_key) : undefined
    return { changed, login: login ?? ofKey }
  }

  #apiKey(provider: Provider, text: string | undefined): string | undefined {
    if (provider.kind !== 'api_key') return text === undefined ? undefined : ''
    if (!text) return undefined
    const { hint } = provider.apiKey
    if (!looksLikeKeyOf(provider, text)) {
      const why = hint ? `: ${hint}` : ''
      throw invalid(
        'api_key',
        `is not a key of ${provider.label}${why}`,
        `不是 ${provider.label} 的密钥${why}`,
      )
    }
    return this.#parts.keyRing.seal(text)
  }

  async #login(provider: Provider, body: ConfigChangeBody): Promise<NewLogin | undefined> {
    const { oauth_token: given, oauth_session_id: sessionId } = body
    if (!given && !sessionId) return undefined
    if (given && sessionId)
      throw invalid(
        'oauth_token',
        'and oauth_session_id exclude each other',
        '与 oauth_session_id 不能同时使用',
      )
    if (provider.kind === 'api_key' || provider.kind === 'aws_sigv4')
      throw invalid('oauth_token', 'is not for providers of keys', '不适用于密钥类提供方')
    if (given) return this.#parts.logins.ofTokens(tokensGiven(provider, given))
    const session = await this.#parts.tokensOf(sessionId ?? '')
    if (session.provider !== provider.name) {
      throw invalid(
        'oauth_session_id',
        `belongs to provider ${session.provider}`,
        `属于提供方 ${session.provider}`,
      )
    }
    return { ...this.#parts.logins.ofTokens(session.tokens), taken: session.taken }
  }
}

/** Base URLs of OAuth providers are the provider's or the token's: stored as ''. */
function baseUrlOf(provider: Provider, text: string | undefined): string | undefined {
  if (provider.kind !== 'api_key') return text === undefined ? undefined : ''
  if (text) {
    try {
      upstreamTarget(provider, undefined, text)
    } catch {
      throw invalid(
        'base_url',
        'must be an https URL without user info, query or fragment',
        '必须是不含用户信息、查询和片段的 https 地址',
      )
    }
  }
  return text
}

/** @throws BrokerError invalid_request if the token names a host we would not send it to */
function tokensGiven(provider: Provider, given: OAuthTokenBody): TokenSet {
  const resourceUrl = given.resource_url ?? undefined
  try {
    if (resourceUrl) upstreamTarget(provider, resourceUrl, '')
  } catch (error) {
    throw new BrokerError('invalid_request', { reason: `oauth_token.${(error as BrokerError).detail}` })
  }
  if (provider.kind === 'session') {
    return webSessionTokens(given.access_token, given.expires_at || undefined, undefined, given.token_type)
  }
  return {
    accessToken: given.access_token,
    refreshToken: given.refresh_token ?? undefined,
    tokenType: normalizeTokenType(given.token_type),
    scope: given.scope ?? undefined,
    ...lifeOfGiven(given.access_token, given.expires_at ?? undefined),
    metadata: resourceUrl ? { resource_url: resourceUrl } : {},
  }
}

/**
 * Whoever may manage can write an API key but not read it; a stored key that followed the base URL anywhere would be
 * read at the other end.
 */
function isElsewhere(provider: Provider, row: StoredConfig, baseUrl: string): boolean {
  if (row.api_key === '') return false
  const originOf = (text: string) => {
    const address = text || provider.upstream.baseUrl
    return address && URL.canParse(address) ? new URL(address).origin : undefined
  }
  return originOf(row.base_url) !== originOf(baseUrl)
}

function modelsOf(models: NewConfigBody['models']): Model[] {
  return models.map((model) => ({
    model_id: model.model_id,
    support_vision: model.support_vision ?? false,
    support_thinking: model.support_thinking ?? false,
  }))
}

export function mustBeOneOf(field: string, names: readonly string[]): BrokerError {
  const list = names.join(', ')
  return invalid(field, `must be one of ${list}`, `必须是以下之一：${list}`)
}

export function invalid(field: string, english: string, chinese: string): BrokerError {
  const reason = { english: `${field} ${english}`, chinese: `${field} ${chinese}` }
  return new BrokerError('invalid_request', { reason })
}
