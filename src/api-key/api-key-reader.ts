/**
 * Reads broker keys for those who manage them: all, or a page.
 */
import type { Kysely } from 'kysely'
import type { Database } from '../storage/database.ts'
import { type Direction, inKeyOrder, isPartOf, type PageStart, type Position } from '../storage/keyset.ts'
import type { Tables } from '../storage/tables.ts'
import { type StoredKey, toStored } from './api-key.ts'

export type KeySort = 'created_at' | '-created_at'

const COLUMNS = ['created_at', 'id'] as const
const DIRECTIONS = { created_at: 'asc', '-created_at': 'desc' } as const satisfies Record<KeySort, Direction>

export interface KeyFilter {
  readonly namePart: string | undefined
  readonly sort: KeySort
}

/** Where a key stands in a list. */
export function positionOf({ createdAt, id }: StoredKey): Position {
  return [createdAt, id]
}

export class ApiKeyReader {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /** Oldest first. */
  async all(): Promise<StoredKey[]> {
    const rows = await this.#database.run((db) =>
      db.selectFrom('api_keys').selectAll().orderBy('created_at').orderBy('id').execute(),
    )
    return rows.map(toStored)
  }

  async count(filter: KeyFilter): Promise<number> {
    const { total } = await this.#database.run((db) =>
      matching(db, filter)
        .select(({ fn }) => fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow(),
    )
    return Number(total)
  }

  /** So many at most, in their order. */
  async list(filter: KeyFilter, start: PageStart, limit: number): Promise<StoredKey[]> {
    const direction = DIRECTIONS[filter.sort]
    const rows = await this.#database.run((db) => {
      const ids = inKeyOrder(matching(db, filter).select('id'), { columns: COLUMNS, direction, start, limit })
      return db
        .selectFrom(ids.as('page'))
        .crossJoin('api_keys') // SQLite keeps to this order
        .whereRef('api_keys.id', '=', 'page.id')
        .selectAll('api_keys')
        .orderBy('api_keys.created_at', direction)
        .orderBy('api_keys.id', direction)
        .execute()
    })
    return rows.map(toStored)
  }
}

function matching(db: Kysely<Tables>, { namePart }: KeyFilter) {
  const all = db.selectFrom('api_keys')
  return namePart ? all.where(isPartOf('name', namePart)) : all
}
