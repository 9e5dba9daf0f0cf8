/**
 * What people write into the form of a config, judged by its provider before any of it is stored.
 */
import { BrokerError } from '../base/errors.ts'
import type { NewLogins } from '../credential/new-logins.ts'
import { type InputColumns, inputColumns } from '../credential/stored-inputs.ts'
import type { ConfigFields } from '../model-config/config-fields.ts'
import type { StoredConfig } from '../model-config/model-config-reader.ts'
import type { NewLogin } from '../model-config/model-config-store.ts'
import type { Model } from '../model-config/model-configs.ts'
import { lifeOfGiven, normalizeTokenType, type TokenSet } from '../oauth/token-response.ts'
import { webSessionTokens } from '../oauth/web-session-renewal.ts'
import { goesElsewhere, isSamePlace, reaching } from '../provider/places.ts'
import { looksLikeKeyOf, type Provider, withInputs } from '../provider/provider.ts'
import { upstreamTarget } from '../upstream/resource-url.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { assertComplete, assertNoDefaultFollows, assertNothingFollows, readInputs } from './input-forms.ts'
import type { ConfigChangeBody, NewConfigBody, OAuthTokenBody } from './schemas.ts'

export interface ConfigFormParts {
  readonly logins: Pick<NewLogins, 'ofTokens' | 'ofKey' | 'ofInputs'>
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
  async read(file: Provider, body: NewConfigBody): Promise<{ fields: ConfigFields; login: NewLogin }> {
    const { provider, inputs } = this.#newInputs(file, body)
    const baseUrl = baseUrlOf(provider, body.base_url) ?? ''
    assertNoDefaultFollows(provider, reaching(provider, baseUrl))
    const fields: ConfigFields = {
      name: body.name,
      provider: provider.name,
      base_url: baseUrl,
      api_key: this.#apiKey(provider, body.api_key) ?? '',
      models: modelsOf(body.models),
      aliases: body.aliases ?? {},
      is_active: body.is_active ?? true,
      external_id: body.external_id ?? null,
      inputs,
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
   * @param before its provider, as it has it now
   * @param row as it is stored
   * @throws BrokerError invalid_request | session_not_found | session_not_ready
   */
  async readChange(
    before: Provider,
    row: StoredConfig,
    body: ConfigChangeBody,
  ): Promise<{ changed: Partial<ConfigFields>; login: NewLogin | undefined }> {
    const { provider, inputs } = this.#changedInputs(before, body)
    const baseUrl = baseUrlOf(provider, body.base_url)
    const [from, to] = [reaching(before, row.base_url), reaching(provider, baseUrl ?? row.base_url)]
    assertNothingFollows(from, to, body.inputs ?? {})
    if (baseUrl !== undefined || inputs) assertNoDefaultFollows(provider, to)
    const apiKey = this.#apiKey(provider, body.api_key || undefined)
    if (!apiKey && row.api_key !== '' && goesElsewhere(from, to))
      throw invalid(
        'api_key',
        'is needed again: base_url or an input names another origin, where the stored key never goes',
        '需要重新填写：base_url 或参数指向另一个来源，已存储的密钥不会发往那里',
      )
    const changed: Partial<ConfigFields> = {
      ...(body.name !== undefined && { name: body.name }),
      ...(body.models && { models: modelsOf(body.models) }),
      ...(body.aliases && { aliases: body.aliases }),
      ...(body.is_active !== undefined && { is_active: body.is_active }),
      ...(body.external_id !== undefined && { external_id: body.external_id }),
      ...(baseUrl !== undefined && { base_url: baseUrl }),
      ...(apiKey && { api_key: apiKey }),
      ...(inputs && { inputs }),
    }
    const { logins } = this.#parts
    const login = await this.#login(provider, body)
    const ofKey = apiKey ? logins.ofKey(provider, body.api_key) : undefined
    const ofInputs = inputs ? logins.ofInputs(before, provider) : undefined
    return { changed, login: login ?? ofKey ?? ofInputs }
  }

  #newInputs(file: Provider, { inputs: said = {}, oauth_session_id: sessionId }: NewConfigBody) {
    // What the file's defaults fill is no config's own.
    const { provider, changed } = readInputs(file, said)
    assertComplete(provider)
    if (sessionId && !isSamePlace(file, provider)) throw foreignLogin()
    return { provider, inputs: { columns: this.#columnsOf(provider), changed } }
  }

  /** Without `inputs` they stay as they are, whatever is missing of them. */
  #changedInputs(before: Provider, { inputs: said, oauth_session_id: sessionId }: ConfigChangeBody) {
    if (said === undefined) {
      if (sessionId && before.fill && !isSamePlace(withInputs(before, new Map()), before))
        throw foreignLogin()
      return { provider: before, inputs: undefined }
    }
    const { provider, changed } = readInputs(before, said)
    assertComplete(provider)
    if (sessionId && !isSamePlace(withInputs(provider, new Map()), provider)) throw foreignLogin()
    if (changed.length === 0) return { provider, inputs: undefined }
    return { provider, inputs: { columns: this.#columnsOf(provider), changed } }
  }

  #columnsOf(provider: Provider): InputColumns {
    return inputColumns(provider, provider.given, this.#parts.keyRing)
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

/** Its tokens are of the server that the file's defaults name. */
function foreignLogin(): BrokerError {
  return invalid(
    'oauth_session_id',
    'belongs to a login without these inputs; log this account in instead',
    '属于未使用这些参数的登录；请改为登录此账号',
  )
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
