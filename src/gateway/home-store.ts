/**
 * The table of homes: SHA-256 over a key's id and an id that was made through it, and the config that made it.
 */
import type { Database } from '../storage/database.ts'
import type { ResourceHomeRow } from '../storage/tables.ts'

export class HomeStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /** Leaves those that are there as they are. @returns how many were not. @throws BrokerError storage_unavailable */
  async add(rows: readonly ResourceHomeRow[]): Promise<number> {
    // In one order everywhere, so that replicas never wait for each other in a circle.
    const sorted = rows.toSorted((a, b) => (a.id_hash < b.id_hash ? -1 : 1))
    const { numInsertedOrUpdatedRows: added } = await this.#database.run((db) => {
      const insert = db.insertInto('resource_homes').values(sorted)
      return this.#database.kind === 'mysql'
        ? insert.ignore().executeTakeFirst()
        : insert.onConflict((conflict) => conflict.doNothing()).executeTakeFirst()
    })
    return Number(added)
  }

  /** Those that are there, also if their time is over. @throws BrokerError storage_unavailable */
  find(hashes: readonly string[]): Promise<ResourceHomeRow[]> {
    return this.#database.run((db) =>
      db.selectFrom('resource_homes').selectAll().where('id_hash', 'in', hashes).execute(),
    )
  }

  /** At most so many, the oldest first. @returns how many they were */
  deleteSomeExpired(now: number, limit: number): Promise<number> {
    return this.#database.run(async (db) => {
      const old = db.selectFrom('resource_homes').select('id_hash').where('expires_at', '<=', now)
      const hashes = (await old.orderBy('expires_at').limit(limit).execute()).map(({ id_hash }) => id_hash)
      if (hashes.length > 0) await db.deleteFrom('resource_homes').where('id_hash', 'in', hashes).execute()
      return hashes.length
    })
  }
}
