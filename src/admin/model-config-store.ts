/**
 * Model configs as rows, with their credential columns: one transaction for a row and its tokens.
 */
import { randomUUID } from 'node:crypto'
import { type Selectable, sql } from 'kysely'
import type { Clock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { type CredentialColumns, clearedColumns } from '../credential/credential-store.ts'
import type { Model } from '../model-config/model-configs.ts'
import { recordEvent } from '../storage/audit-events.ts'
import { type ChangeWatcher, noteChange } from '../storage/changes.ts'
import { type Database, DuplicateError } from '../storage/database.ts'
import type { ModelConfigRow } from '../storage/tables.ts'

export type StoredConfig = Selectable<ModelConfigRow>

export interface ConfigFields {
  readonly name: string
  readonly provider: string
  readonly base_url: string
  /** Sealed, or ''. */
  readonly api_key: string
  readonly models: readonly Model[]
  readonly aliases: Readonly<Record<string, string>>
  readonly is_active: boolean
}

export interface ConfigFilter {
  readonly page: number
  readonly pageSize: number
  readonly provider: string | undefined
  readonly isActive: boolean | undefined
  readonly namePart: string | undefined
  readonly states: readonly string[] | undefined
}

export interface NewLogin {
  readonly columns: CredentialColumns
  /** The finished device session the tokens come from; it ends with the transaction. */
  readonly sessionId: string | undefined
}

export class ModelConfigStore {
  readonly #database: Database
  readonly #changes: ChangeWatcher

  constructor(database: Database, changes: ChangeWatcher) {
    this.#database = database
    this.#changes = changes
  }

  private get now(): number {
    return Math.trunc((this.#changes.clock satisfies Clock)())
  }

  /** @throws BrokerError name_taken | session_not_found */
  async create(fields: ConfigFields, login: NewLogin): Promise<string> {
    const id = randomUUID()
    const { now } = this
    await this.#write(async (trx) => {
      await trx
        .insertInto('model_configs')
        .values({
          id,
          ...fields,
          active_name: fields.name,
          models: JSON.stringify(fields.models),
          aliases: aliasesColumn(fields.aliases),
          is_active: fields.is_active ? 1 : 0,
          created_at: now,
          updated_at: now,
          ...login.columns,
          oauth_version: 1,
          lease_until: 0,
          next_attempt_at: 0,
        })
        .execute()
      await endSession(trx, login.sessionId)
    })
    return id
  }

  /** @throws BrokerError config_not_found */
  async get(id: string): Promise<StoredConfig> {
    const row = await this.#database.run((db) =>
      db
        .selectFrom('model_configs')
        .selectAll()
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .executeTakeFirst(),
    )
    if (!row) throw new BrokerError('config_not_found')
    return row
  }

  async list(filter: ConfigFilter): Promise<{ total: number; rows: StoredConfig[] }> {
    return this.#database.run(async (db) => {
      let query = db.selectFrom('model_configs').where('deleted_at', 'is', null)
      if (filter.provider !== undefined) query = query.where('provider', '=', filter.provider)
      if (filter.isActive !== undefined) query = query.where('is_active', '=', filter.isActive ? 1 : 0)
      if (filter.states) query = query.where('oauth_state', 'in', filter.states)
      if (filter.namePart) {
        const pattern = `%${filter.namePart.toLowerCase().replace(/[!%_]/g, '!$&')}%`
        query = query.where(sql<boolean>`lower(name) like ${pattern} escape '!'`)
      }
      const counted = await query
        .select(({ fn }) => fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow()
      const rows = await query
        .selectAll()
        .orderBy('created_at')
        .orderBy('id')
        .limit(filter.pageSize)
        .offset((filter.page - 1) * filter.pageSize)
        .execute()
      return { total: Number(counted.total), rows }
    })
  }

  /** How many active configs there are in each `oauth_state`. */
  async countStates(): Promise<Record<string, number>> {
    const rows = await this.#database.run((db) =>
      db
        .selectFrom('model_configs')
        .where('deleted_at', 'is', null)
        .where('is_active', '=', 1)
        .groupBy('oauth_state')
        .select(['oauth_state', ({ fn }) => fn.countAll<number>().as('count')])
        .execute(),
    )
    return Object.fromEntries(rows.map((row) => [row.oauth_state, Number(row.count)]))
  }

  /**
   * @param expectedUpdatedAt what the form was filled from; undefined takes whatever is there
   * @throws BrokerError config_not_found | stale_update | name_taken | session_not_found
   */
  async update(
    id: string,
    changed: Partial<ConfigFields>,
    login: NewLogin | undefined,
    expectedUpdatedAt: number | undefined,
  ): Promise<void> {
    const row = await this.get(id)
    if (expectedUpdatedAt !== undefined && expectedUpdatedAt !== row.updated_at)
      throw new BrokerError('stale_update')
    const { models, aliases, is_active, name, ...plain } = changed
    await this.#write(async (trx) => {
      const result = await trx
        .updateTable('model_configs')
        .set((current) => ({
          ...plain,
          ...(name !== undefined && { name, active_name: name }),
          ...(models && { models: JSON.stringify(models) }),
          ...(aliases && { aliases: aliasesColumn(aliases) }),
          ...(is_active !== undefined && { is_active: is_active ? 1 : 0 }),
          ...(login && { ...login.columns, ...NEW_LOGIN, oauth_version: current('oauth_version', '+', 1) }),
          updated_at: Math.max(this.now, row.updated_at + 1),
        }))
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .where('updated_at', '=', row.updated_at)
        .executeTakeFirst()
      if (result.numUpdatedRows !== 1n) throw new BrokerError('stale_update')
      await endSession(trx, login?.sessionId)
      if (login && row.oauth_state !== 'active') {
        const reason = 'logged in again'
        await recordEvent(trx, this.#database, { type: 'credential.recovered', configId: id, reason })
      }
    })
  }

  /** Keeps the row for the books, without any secret; the name is free again. @throws BrokerError config_not_found */
  async delete(id: string): Promise<void> {
    const { now } = this
    await this.#write(async (trx) => {
      const result = await trx
        .updateTable('model_configs')
        .set((current) => ({
          ...clearedColumns('missing'),
          ...NEW_LOGIN,
          oauth_version: current('oauth_version', '+', 1),
          api_key: '',
          active_name: null,
          is_active: 0,
          deleted_at: now,
        }))
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .executeTakeFirst()
      if (result.numUpdatedRows !== 1n) throw new BrokerError('config_not_found')
    })
  }

  async #write(work: (trx: Transaction) => Promise<void>): Promise<void> {
    try {
      await this.#database.transaction(async (trx) => {
        await work(trx)
        await noteChange(trx)
      })
    } catch (error) {
      if (error instanceof DuplicateError) throw new BrokerError('name_taken')
      throw error
    }
    this.#changes.noticed()
  }
}

type Transaction = Parameters<Parameters<Database['transaction']>[0]>[0]

/** New tokens end whatever the old ones were in the middle of: with the version raised, its writes hit no row. */
const NEW_LOGIN = {
  lease_owner: null,
  lease_until: 0,
  attempt_id: null,
  last_attempt_id: null,
  next_attempt_at: 0,
  last_error: null,
}

function aliasesColumn(aliases: Readonly<Record<string, string>>): string | null {
  return Object.keys(aliases).length === 0 ? null : JSON.stringify(aliases)
}

/** A session's tokens are bound once: a refresh token that two configs held would be spent twice. */
async function endSession(trx: Transaction, sessionId: string | undefined): Promise<void> {
  if (sessionId === undefined) return
  const result = await trx.deleteFrom('device_sessions').where('id', '=', sessionId).executeTakeFirst()
  if (result.numDeletedRows !== 1n) throw new BrokerError('session_not_found')
}
