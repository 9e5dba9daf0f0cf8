/**
 * What the management API does with model configs, between its routes and its rows.
 */
import { createHash } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Acceptances } from '../credential/acceptances.ts'
import { isTwoStep } from '../credential/credential.ts'
import { parseMetadata } from '../credential/credential-columns.ts'
import type { CredentialStore } from '../credential/credential-store.ts'
import type { Credentials } from '../credential/credentials.ts'
import type { NewLogins } from '../credential/new-logins.ts'
import type { Revoke } from '../credential/revoke.ts'
import { givenIn } from '../credential/stored-inputs.ts'
import {
  type ConfigFilter,
  type ModelConfigReader,
  positionIn,
  type StoredConfig,
} from '../model-config/model-config-reader.ts'
import type { ModelConfigStore } from '../model-config/model-config-store.ts'
import { storedAliases, storedModels } from '../model-config/model-configs.ts'
import { daysRemaining } from '../oauth/jwt.ts'
import { UNMOVED } from '../oauth/web-session-renewal.ts'
import { type Provider, withInputs } from '../provider/provider.ts'
import { isLogin } from '../provider/renewal-class.ts'
import type { Actor } from '../storage/audit-log.ts'
import type { Agents } from '../upstream/agent.ts'
import type {
  CredentialState,
  Diagnosis,
  ModelConfigItem,
  ModelConfigPage,
  NextAction,
  WebSession,
} from './config-answers.ts'
import { type ConfigFormParts, ConfigForms, invalid, mustBeOneOf } from './config-forms.ts'
import { diagnose } from './diagnosis.ts'
import { shownInputs } from './input-forms.ts'
import { readPage } from './pages.ts'
import type { ConfigChangeBody, ConfigQuery, NewConfigBody } from './schemas.ts'
import { type UpstreamModels, upstreamModels } from './upstream-models.ts'

export interface ModelConfigAdminParts extends ConfigFormParts {
  readonly reader: ModelConfigReader
  readonly store: ModelConfigStore
  readonly logins: NewLogins
  readonly credentialStore: CredentialStore
  readonly credentials: Credentials
  readonly acceptances: Acceptances
  readonly providers: ReadonlyMap<string, Provider>
  readonly clock: Clock
  readonly agents: Pick<Agents, 'of'>
  /** Tells the authorization server that a grant is over; never rejects. */
  readonly revoke: Revoke
}

const FINGERPRINT_DIGITS = 8

export class ModelConfigAdmin {
  readonly #parts: ModelConfigAdminParts
  readonly #forms: ConfigForms

  constructor(parts: ModelConfigAdminParts) {
    this.#parts = parts
    this.#forms = new ConfigForms(parts)
  }

  /** @throws BrokerError invalid_request | name_taken | external_id_taken | session_not_found | session_not_ready */
  async create(body: NewConfigBody, by: Actor): Promise<ModelConfigItem> {
    const provider = this.#parts.providers.get(body.provider)
    if (!provider) throw mustBeOneOf('provider', [...this.#parts.providers.keys()])
    const { fields, login } = await this.#forms.read(provider, body)
    const id = await this.#parts.store.create(fields, login, by)
    return this.get(id)
  }

  async get(id: string): Promise<ModelConfigItem> {
    return this.#item(await this.#parts.reader.get(id))
  }

  /** @throws BrokerError invalid_request for a cursor that does not fit */
  async list(query: ConfigQuery): Promise<ModelConfigPage> {
    const filter = filterOf(query)
    const page = await readPage(query, {
      question: filter,
      count: () => this.#parts.reader.count(filter),
      read: (start, limit) => this.#parts.reader.list(filter, start, limit),
      positionOf: positionIn(filter.sort),
    })
    return { ...page, items: page.items.map((row) => this.#item(row)) }
  }

  /** @throws BrokerError config_not_found | stale_update | name_taken | external_id_taken | invalid_request | session_not_* */
  async update(id: string, body: ConfigChangeBody, by: Actor): Promise<ModelConfigItem> {
    const row = await this.#parts.reader.get(id)
    const provider = this.#parts.providers.get(row.provider)
    if (!provider)
      throw invalid(
        'provider',
        `${row.provider} has no provider file any more`,
        `${row.provider} 的提供方文件已不存在`,
      )
    if (body.provider !== undefined && body.provider !== row.provider)
      throw invalid('provider', 'cannot be changed', '不可更改')
    const { changed, login } = await this.#forms.readChange(this.#filled(provider, row), row, body)
    if (body.updated_at !== undefined && body.updated_at !== row.updated_at)
      throw new BrokerError('stale_update')
    await this.#parts.store.update(row, changed, login, by)
    return this.get(id)
  }

  /** The grant is revoked where the server has an endpoint for it. @throws BrokerError config_not_found */
  async delete(id: string, by: Actor): Promise<void> {
    const held = await this.#parts.credentialStore.load(id).catch(() => undefined)
    await this.#parts.store.delete(await this.#parts.reader.get(id), this.#parts.logins.none(), by)
    const outcome = held && (await this.#parts.revoke(held))
    if (outcome) await this.#parts.store.record(`grant.${outcome.kind}`, id, by, outcome.why).catch(() => {})
  }

  countStates(): Promise<Record<string, number>> {
    return this.#parts.reader.countStates()
  }

  /** Names what is wrong with it, and what to do. @throws BrokerError config_not_found */
  async diagnose(id: string, by: Actor): Promise<Diagnosis> {
    const row = await this.#parts.reader.get(id)
    await this.#parts.store.record('config.diagnosed', id, by)
    return diagnose(id, storedModels(row.models), this.#parts)
  }

  /** What its endpoint says that it serves. @throws BrokerError config_not_found, and as {@link upstreamModels} */
  async upstreamModels(id: string): Promise<UpstreamModels> {
    await this.#parts.reader.get(id)
    return upstreamModels(id, this.#parts)
  }

  /** Refreshes now. @throws BrokerError config_not_found | credential_reauth_required | credential_refused | refresh_unavailable */
  async refresh(id: string, by: Actor): Promise<ModelConfigItem> {
    await this.#parts.reader.get(id)
    await this.#parts.store.record('config.refresh_asked', id, by)
    await this.#parts.credentials.renew(id)
    return this.get(id)
  }

  /** @throws BrokerError decryption_failed */
  #filled(file: Provider, row: StoredConfig): Provider {
    return file.fill ? withInputs(file, givenIn(row, this.#parts.keyRing)) : file
  }

  /** One whose secrets no key opens is shown as if it had none. */
  #shown(file: Provider, row: StoredConfig): Provider {
    try {
      return this.#filled(file, row)
    } catch (error) {
      if (error instanceof BrokerError) return this.#filled(file, { ...row, inputs_sealed: null })
      throw error
    }
  }

  /** Under the encryption key: a bare hash of a weak secret could be guessed. */
  #fingerprint(value: string): string {
    const digest = Buffer.from(this.#parts.keyRing.sign(['input', value]))
    return createHash('sha256').update(digest).digest('hex').slice(0, FINGERPRINT_DIGITS)
  }

  /** Never a token, never an API key. */
  #item(row: StoredConfig): ModelConfigItem {
    const file = this.#parts.providers.get(row.provider)
    const provider = file && this.#shown(file, row)
    const lack = provider?.lacking[0]
    const refusal =
      provider && isTwoStep({ provider }) ? this.#parts.credentials.refusalOf(row.id) : undefined
    const state = lack ? 'missing' : refusal ? 'refused' : stateOf(row, this.#parts.clock())
    const action = lack ? 'edit_inputs' : nextAction(provider, state, row.last_error)
    const why = lack ? `inputs.${lack.input} ${lack.why.english}` : (refusal ?? row.last_error)
    return {
      id: row.id,
      name: row.name,
      provider: row.provider,
      base_url: row.base_url,
      models: storedModels(row.models),
      ...(row.aliases !== null && { aliases: storedAliases(row.aliases) }),
      is_active: row.is_active === 1,
      external_id: row.external_id,
      ...(provider?.fill && { inputs: shownInputs(provider, (value) => this.#fingerprint(value)) }),
      created_at: row.created_at,
      updated_at: row.updated_at,
      credential: {
        kind: provider?.kind ?? null,
        state,
        expires_at: row.oauth_expires_at,
        refreshed_at: row.oauth_refreshed_at,
        accepted_at: this.#parts.acceptances.of(row),
        scope: row.oauth_scope,
        resource_url: textOrNull(parseMetadata(row.oauth_metadata)['resource_url']),
        fingerprint: row.oauth_refresh_fingerprint?.slice(0, 16) ?? null,
        next_action: action,
        reason: action === 'none' ? null : why,
        ...(provider?.kind === 'session' && { session: sessionFacts(row, this.#parts.clock()) }),
      },
    }
  }
}

function filterOf(query: ConfigQuery): ConfigFilter {
  return {
    ids: query.id?.split(','),
    provider: query.provider,
    isActive: query.is_active,
    externalId: query.external_id,
    namePart: query.q,
    states: query.state?.split(','),
    sort: query.sort ?? 'created_at',
  }
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

/** What is known of a web session. */
function sessionFacts(row: StoredConfig, now: number): WebSession {
  const metadata = parseMetadata(row.oauth_metadata)
  const expiresAt = row.oauth_expires_at
  return {
    user_id: textOrNull(metadata['user_id']),
    issued_at: typeof metadata['issued_at'] === 'number' ? metadata['issued_at'] : null,
    expires_at: expiresAt,
    days_remaining: expiresAt === null ? null : daysRemaining(expiresAt, now),
  }
}

function stateOf(row: StoredConfig, now: number): CredentialState {
  const state = row.oauth_state as CredentialState
  return state === 'active' && now < row.next_attempt_at ? 'cooling_down' : state
}

/** What a person can do about it. */
function nextAction(
  provider: Provider | undefined,
  state: CredentialState,
  lastError: string | null,
): NextAction {
  if (!provider) return 'restore_provider'
  if (lastError === UNMOVED) return 'login' // no waiting will extend it
  if (state === 'active') return 'none'
  if (state === 'refused') return isLogin(provider.kind) ? 'login' : 'edit_inputs'
  if (state !== 'reauth_required' && state !== 'missing') return 'wait'
  return provider.kind === 'api_key' ? 'set_api_key' : 'login'
}
