/**
 * Sealed rows: the credential columns of `model_configs`, read and written by compare-and-set.
 *
 * Every write of tokens has a predicate on `oauth_version`; leases are judged by the database's clock.
 * A refresh never touches `updated_at`: that is the form's optimistic lock.
 */
import { type Kysely, sql } from 'kysely'
import { BrokerError } from '../base/errors.ts'
import type { Provider } from '../base/provider.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import { type EventType, recordEvent } from '../storage/audit-events.ts'
import type { Database } from '../storage/database.ts'
import type { ModelConfigRow, Tables } from '../storage/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { type Credential, type CredentialState, fingerprint } from './credential.ts'
import type { Persistence } from './persistence/persistence.ts'

/** Longer than a refresh may take (10 s total, at most 25) plus slack. */
export const LEASE_MS = 30_000
const MAX_ERROR_CHARACTERS = 255

/** The columns that hold a credential, for whoever inserts or clears a row. */
export type CredentialColumns = Pick<
  ModelConfigRow,
  | 'oauth_access_token'
  | 'oauth_refresh_token'
  | 'oauth_token_type'
  | 'oauth_scope'
  | 'oauth_expires_at'
  | 'oauth_refreshed_at'
  | 'oauth_refresh_fingerprint'
  | 'oauth_state'
> & { oauth_metadata: string | null }

/** How an attempt ended that brought no tokens. */
export interface Release {
  readonly state: 'active' | 'uncertain'
  /** Epoch ms. */
  readonly nextAttemptAt: number
  readonly error: string
  /** Nothing renews it: a person should know before it ends. */
  readonly isExpiring: boolean
}

/** All OAuth columns empty. */
export function clearedColumns(state: 'active' | 'missing' | 'reauth_required'): CredentialColumns {
  return {
    oauth_access_token: null,
    oauth_refresh_token: null,
    oauth_token_type: null,
    oauth_scope: null,
    oauth_expires_at: null,
    oauth_refreshed_at: null,
    oauth_refresh_fingerprint: null,
    oauth_metadata: null,
    oauth_state: state,
  }
}

export class CredentialStore {
  readonly #database: Database
  readonly #keys: KeyRing
  readonly #providers: ReadonlyMap<string, Provider>

  constructor(database: Database, keys: KeyRing, providers: ReadonlyMap<string, Provider>) {
    this.#database = database
    this.#keys = keys
    this.#providers = providers
  }

  /** Nothing can be learned or stored now. */
  get isAway(): boolean {
    return this.#database.isAway
  }

  /** Tokens as sealed columns. */
  seal(tokens: TokenSet): CredentialColumns {
    return {
      oauth_access_token: this.#keys.seal(tokens.accessToken),
      oauth_refresh_token: tokens.refreshToken === undefined ? null : this.#keys.seal(tokens.refreshToken),
      oauth_token_type: tokens.tokenType,
      oauth_scope: tokens.scope ?? null,
      oauth_expires_at: tokens.expiresAt ?? null,
      oauth_refreshed_at: tokens.receivedAt ?? null,
      oauth_refresh_fingerprint: tokens.refreshToken === undefined ? null : fingerprint(tokens.refreshToken),
      oauth_metadata: JSON.stringify(tokens.metadata),
      oauth_state: 'active',
    }
  }

  /**
   * One indexed query. Undefined if there is no such config or its provider file is gone.
   * @throws BrokerError storage_unavailable | decryption_failed
   */
  async load(configId: string): Promise<Credential | undefined> {
    const row = await this.#database.run((db) =>
      db
        .selectFrom('model_configs')
        .selectAll()
        .select(
          sql<number>`case when lease_until > ${this.#database.nowMs} then 1 else 0 end`.as('lease_is_live'),
        )
        .where('id', '=', configId)
        .where('deleted_at', 'is', null)
        .executeTakeFirst(),
    )
    const provider = row && this.#providers.get(row.provider)
    if (!row || !provider) return undefined
    const isApiKey = provider.kind === 'api_key'
    const sealed = isApiKey ? row.api_key : row.oauth_access_token
    return {
      configId: row.id,
      provider,
      version: row.oauth_version,
      state: isApiKey ? (row.api_key ? 'active' : 'missing') : (row.oauth_state as CredentialState),
      accessToken: sealed ? this.#keys.open(sealed) : '',
      refreshToken: row.oauth_refresh_token ? this.#keys.open(row.oauth_refresh_token) : undefined,
      tokenType: row.oauth_token_type ?? 'Bearer',
      scope: row.oauth_scope ?? undefined,
      expiresAt: row.oauth_expires_at ?? undefined,
      refreshedAt: row.oauth_refreshed_at ?? undefined,
      metadata: parseMetadata(row.oauth_metadata),
      baseUrl: row.base_url,
      attemptId: row.attempt_id ?? undefined,
      lastAttemptId: row.last_attempt_id ?? undefined,
      leaseIsLive: row.lease_is_live === 1,
      nextAttemptAt: row.next_attempt_at,
      lastError: row.last_error ?? undefined,
    }
  }

  /** One autocommit statement; false if the version moved on or somebody holds the lease. */
  async claimLease(credential: Credential, owner: string, attemptId: string): Promise<boolean> {
    const { nowMs } = this.#database
    const result = await this.#database.run((db) =>
      db
        .updateTable('model_configs')
        .set({
          oauth_state: 'refreshing',
          lease_owner: owner,
          attempt_id: attemptId,
          lease_until: sql<number>`${nowMs} + ${LEASE_MS}`,
        })
        .where('id', '=', credential.configId)
        .where('oauth_version', '=', credential.version)
        .where('oauth_state', '=', credential.state)
        .where('lease_until', '<=', nowMs)
        .executeTakeFirst(),
    )
    return result.numUpdatedRows === 1n
  }

  /**
   * Stores what the server answered, over exactly the version the attempt started from. The lease is not asked
   * for: it may have run out while the answer was on its way, and as long as the version stands nobody has
   * anything newer (invariant I2).
   */
  async storeRenewed(from: Credential, attemptId: string, renewed: Credential): Promise<boolean> {
    const values = {
      ...this.seal({ ...renewed, receivedAt: renewed.refreshedAt }),
      oauth_version: renewed.version,
      last_attempt_id: attemptId,
      next_attempt_at: 0,
      last_error: null,
      ...FREE_LEASE,
    }
    const type = from.state === 'uncertain' ? 'credential.recovered' : 'credential.refreshed'
    return this.#updateAndTell(from, values, undefined, type)
  }

  /** Gives the lease back after an attempt that brought no tokens. */
  async release(credential: Credential, attemptId: string, outcome: Release): Promise<boolean> {
    const values = {
      oauth_state: outcome.state,
      next_attempt_at: Math.trunc(outcome.nextAttemptAt),
      last_error: outcome.error.slice(0, MAX_ERROR_CHARACTERS),
      ...FREE_LEASE,
    }
    const becameUncertain = outcome.state === 'uncertain' && credential.state !== 'uncertain'
    const type = outcome.isExpiring
      ? 'credential.expiring'
      : becameUncertain
        ? 'credential.uncertain'
        : undefined
    return this.#updateAndTell(credential, values, attemptId, type, outcome.error)
  }

  /** The refresh token is dead: empties the OAuth columns, if nobody logged in again meanwhile. */
  async clear(credential: Credential, attemptId: string, error: string): Promise<boolean> {
    const values = {
      ...clearedColumns('reauth_required'),
      oauth_version: credential.version + 1,
      last_error: error.slice(0, MAX_ERROR_CHARACTERS),
      ...FREE_LEASE,
    }
    return this.#updateAndTell(credential, values, attemptId, 'credential.reauth_required', error)
  }

  /** The tokens of one config as a {@link Persistence} (seed 002, "Token 持久化方式"). */
  forConfig(configId: string): Persistence {
    const write = async (columns: CredentialColumns) => {
      const result = await this.#database.run((db) =>
        db
          .updateTable('model_configs')
          .set((row) => ({ ...columns, ...FREE_LEASE, oauth_version: row('oauth_version', '+', 1) }))
          .where('id', '=', configId)
          .where('deleted_at', 'is', null)
          .executeTakeFirst(),
      )
      if (result.numUpdatedRows !== 1n) throw new BrokerError('config_not_found')
    }
    return {
      load: async () => {
        const credential = await this.load(configId)
        return credential?.accessToken ? { ...credential, receivedAt: credential.refreshedAt } : undefined
      },
      save: (tokens) => write(this.seal(tokens)),
      clear: () => write(clearedColumns('missing')),
    }
  }

  /** The write and its event, or neither. */
  async #updateAndTell(
    credential: Credential,
    values: object,
    attemptId: string | undefined,
    type: EventType | undefined,
    reason?: string,
  ): Promise<boolean> {
    return this.#database.transaction(async (trx) => {
      const isDone = await update(trx, credential, values, attemptId)
      if (isDone && type)
        await recordEvent(trx, this.#database, { type, configId: credential.configId, reason })
      return isDone
    })
  }
}

/** Compare-and-set on the version, and on the attempt that holds the lease where one is given. */
async function update(
  db: Kysely<Tables>,
  credential: Credential,
  values: object,
  attemptId: string | undefined,
): Promise<boolean> {
  const query = db
    .updateTable('model_configs')
    .set(values)
    .where('id', '=', credential.configId)
    .where('oauth_version', '=', credential.version)
  const result = await (attemptId === undefined
    ? query
    : query.where('attempt_id', '=', attemptId)
  ).executeTakeFirst()
  return result.numUpdatedRows === 1n
}

const FREE_LEASE = { lease_owner: null, lease_until: 0, attempt_id: null }

/** MySQL gives JSON columns as objects, SQLite as text. */
export function parseMetadata(value: unknown): { readonly [name: string]: unknown } {
  const object: unknown = typeof value === 'string' ? JSON.parse(value) : value
  return typeof object === 'object' && object !== null ? (object as { [name: string]: unknown }) : {}
}
