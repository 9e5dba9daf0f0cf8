/**
 * Reads model configs: one, a page of them, or those of a key.
 */
import { type Kysely, type Selectable, sql } from 'kysely'
import { BrokerError } from '../base/errors.ts'
import type { Database } from '../storage/database.ts'
import type { ModelConfigRow, Tables } from '../storage/tables.ts'

export type StoredConfig = Selectable<ModelConfigRow>

/** What routing needs of a row. */
export type RoutingRow = Pick<StoredConfig, (typeof ROUTING_COLUMNS)[number]>
const ROUTING_COLUMNS = ['id', 'name', 'provider', 'models', 'aliases', 'is_active', 'created_at'] as const

/** What a list on a terminal needs of a row. */
export type ListedRow = Pick<StoredConfig, 'id' | 'name' | 'provider' | 'oauth_state' | 'is_active'>

export type ConfigSort = 'created_at' | '-created_at' | 'name' | 'state'

/** All columns in one direction, as an index can be read. */
const ORDER = {
  created_at: [['created_at', 'id'], 'asc'],
  '-created_at': [['created_at', 'id'], 'desc'],
  name: [['name', 'id'], 'asc'],
  state: [['oauth_state', 'created_at', 'id'], 'asc'],
} as const satisfies Record<ConfigSort, readonly [readonly (keyof StoredConfig)[], 'asc' | 'desc']>

export interface ConfigFilter {
  readonly page: number
  readonly pageSize: number
  readonly provider: string | undefined
  readonly isActive: boolean | undefined
  readonly externalId: string | undefined
  readonly namePart: string | undefined
  readonly states: readonly string[] | undefined
  readonly sort: ConfigSort
}

export class ModelConfigReader {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
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
      const { states } = filter
      const all = db.selectFrom('model_configs')
      // Both say that it exists, but by the second databases begin at the oldest of all, to look for few among them.
      let query = states
        ? all.where('active_name', 'is not', null).where('oauth_state', 'in', states)
        : all.where('deleted_at', 'is', null)
      if (filter.provider !== undefined) query = query.where('provider', '=', filter.provider)
      if (filter.isActive !== undefined) query = query.where('is_active', '=', filter.isActive ? 1 : 0)
      if (filter.externalId !== undefined) query = query.where('external_id', '=', filter.externalId)
      if (filter.namePart) {
        const pattern = `%${filter.namePart.toLowerCase().replace(/[!%_]/g, '!$&')}%`
        query = query.where(sql<boolean>`lower(name) like ${pattern} escape '!'`)
      }
      const counted = await query
        .select(({ fn }) => fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow()
      const [columns, direction] = ORDER[filter.sort]
      let page = query.select('id')
      for (const column of columns) page = page.orderBy(column, direction)
      const skipped = (filter.page - 1) * filter.pageSize
      // Ids first: rows are wide, and those of the pages before are only counted.
      const ids = (await page.limit(filter.pageSize).offset(skipped).execute()).map(({ id }) => id)
      return { total: Number(counted.total), rows: await inOrder(db, ids) }
    })
  }

  /** Every config, oldest first. */
  all(): Promise<ListedRow[]> {
    return this.#database.run((db) =>
      db
        .selectFrom('model_configs')
        .select(['id', 'name', 'provider', 'oauth_state', 'is_active'])
        .where('deleted_at', 'is', null)
        .orderBy('created_at')
        .execute(),
    )
  }

  /** Those of these ids that exist, in any order. */
  async ofIds(ids: readonly string[]): Promise<RoutingRow[]> {
    if (ids.length === 0) return []
    return this.#database.run((db) => routingRows(db).where('id', 'in', ids).execute())
  }

  /** So many configs at most, oldest first, of those that come after this one. */
  after(last: RoutingRow | undefined, limit: number): Promise<RoutingRow[]> {
    return this.#database.run((db) => {
      let query = routingRows(db)
      if (last) {
        const { created_at, id } = last
        // The first condition says where to begin in the index; the other two alone would not.
        query = query
          .where('created_at', '>=', created_at)
          .where((row) => row.or([row('created_at', '>', created_at), row('id', '>', id)]))
      }
      return query.orderBy('created_at').orderBy('id').limit(limit).execute()
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
}

async function inOrder(db: Kysely<Tables>, ids: readonly string[]): Promise<StoredConfig[]> {
  if (ids.length === 0) return []
  const found = db.selectFrom('model_configs').selectAll().where('id', 'in', ids)
  const rows = await found.where('deleted_at', 'is', null).execute()
  const places = new Map(ids.map((id, place) => [id, place]))
  return rows.sort((a, b) => (places.get(a.id) ?? 0) - (places.get(b.id) ?? 0))
}

function routingRows(db: Kysely<Tables>) {
  return db.selectFrom('model_configs').select(ROUTING_COLUMNS).where('deleted_at', 'is', null)
}
