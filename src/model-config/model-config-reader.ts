/**
 * Reads model configs: one, a page of them, or those of a key.
 */
import { type Kysely, type Selectable, sql } from 'kysely'
import { BrokerError } from '../base/errors.ts'
import type { Database } from '../storage/database.ts'
import { type Direction, inKeyOrder, isPartOf, type PageStart, type Position } from '../storage/keyset.ts'
import type { ModelConfigRow, Tables } from '../storage/tables.ts'

export type StoredConfig = Selectable<ModelConfigRow>

/** What routing needs of a row. */
export type RoutingRow = Pick<StoredConfig, (typeof ROUTING_COLUMNS)[number]>
const ROUTING_COLUMNS = ['id', 'name', 'provider', 'models', 'aliases', 'is_active', 'created_at'] as const

/** What a list on a terminal needs of a row. */
export type ListedRow = Pick<StoredConfig, 'id' | 'name' | 'provider' | 'oauth_state' | 'is_active'>

export type ConfigSort = 'created_at' | '-created_at' | 'name' | 'state'

/** All columns in one direction, as an index can be read; no two configs share all of them. */
const ORDER = {
  created_at: [['created_at', 'id'], 'asc'],
  '-created_at': [['created_at', 'id'], 'desc'],
  name: [['active_name'], 'asc'],
  state: [['oauth_state', 'created_at', 'id'], 'asc'],
} as const satisfies Record<ConfigSort, readonly [readonly (keyof StoredConfig)[], Direction]>

/** Which configs, of those that exist. */
export interface ConfigFilter {
  readonly ids: readonly string[] | undefined
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

  async count(filter: ConfigFilter): Promise<number> {
    const { total } = await this.#database.run((db) =>
      matching(db, filter)
        .select(({ fn }) => fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow(),
    )
    return Number(total)
  }

  /** So many at most, in their order. */
  list(filter: ConfigFilter, start: PageStart, limit: number): Promise<StoredConfig[]> {
    const [columns, direction] = ORDER[filter.sort]
    return this.#database.run((db) => {
      // Ids first: rows are wide, and those before the page are only passed over.
      const ids = inKeyOrder(matching(db, filter).select('id'), { columns, direction, start, limit })
      let rows = db
        .selectFrom(ids.as('page'))
        .crossJoin('model_configs') // SQLite keeps to this order
        .whereRef('model_configs.id', '=', 'page.id')
        .selectAll('model_configs')
      for (const column of columns) rows = rows.orderBy(`model_configs.${column}`, direction)
      return rows.execute()
    })
  }

  /** Every config, oldest first. */
  all(): Promise<ListedRow[]> {
    return this.#database.run((db) => listedRows(db).orderBy('created_at').execute())
  }

  /** The config of this name, and the one of this id. */
  named(nameOrId: string): Promise<ListedRow[]> {
    return this.#database.run((db) =>
      listedRows(db)
        .where((row) => row.or([row('active_name', '=', nameOrId), row('id', '=', nameOrId)]))
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
    const [columns, direction] = ORDER.created_at
    const start: PageStart = last ? { after: columns.map((column) => last[column]) } : { skip: 0 }
    return this.#database.run((db) =>
      inKeyOrder(routingRows(db), { columns, direction, start, limit }).execute(),
    )
  }

  /** How many active configs there are in each `oauth_state`. */
  async countStates(): Promise<Record<string, number>> {
    const rows = await this.#database.run((db) =>
      db
        .selectFrom('model_configs')
        .where('active_name', 'is not', null)
        .where('is_active', '=', 1)
        .groupBy('oauth_state')
        .select(['oauth_state', ({ fn }) => fn.countAll<number>().as('count')])
        .execute(),
    )
    return Object.fromEntries(rows.map((row) => [row.oauth_state, Number(row.count)]))
  }
}

/** Where a config stands in a list; undefined in the order of states, which change while somebody goes through it. */
export function positionIn(sort: ConfigSort): ((row: StoredConfig) => Position) | undefined {
  if (sort === 'state') return undefined
  const [columns] = ORDER[sort]
  return (row) => columns.map((column) => row[column] ?? '')
}

function matching(db: Kysely<Tables>, filter: ConfigFilter) {
  const { ids, states, namePart, sort } = filter
  const all = db.selectFrom('model_configs')
  // Both say that it exists, but with the second databases read the index that begins with it, from the oldest on.
  const isFoundElsewhere = ids !== undefined || states !== undefined || sort === 'name'
  let query = isFoundElsewhere
    ? all.where('active_name', 'is not', null)
    : all.where('deleted_at', 'is', null)
  if (ids) query = query.where('id', 'in', ids)
  if (states) query = query.where('oauth_state', 'in', states)
  // Asked for so that no index begins with it: a list is read in its order.
  if (filter.provider !== undefined) query = query.where(sql`coalesce(provider, '')`, '=', filter.provider)
  if (filter.isActive !== undefined) query = query.where('is_active', '=', filter.isActive ? 1 : 0)
  if (filter.externalId !== undefined) query = query.where('external_id', '=', filter.externalId)
  return namePart ? query.where(isPartOf('active_name', namePart)) : query
}

function listedRows(db: Kysely<Tables>) {
  return db
    .selectFrom('model_configs')
    .select(['id', 'name', 'provider', 'oauth_state', 'is_active'])
    .where('deleted_at', 'is', null)
}

function routingRows(db: Kysely<Tables>) {
  return db.selectFrom('model_configs').select(ROUTING_COLUMNS).where('deleted_at', 'is', null)
}
