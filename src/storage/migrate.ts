/**
 * Brings the tables up to date at start. Several replicas may try at once; Kysely's lock table lets one through.
 */
import { Migrator } from 'kysely/migration'
import * as initial from '../../migrations/001-initial.ts'
import * as events from '../../migrations/002-events.ts'
import * as usage from '../../migrations/003-usage.ts'
import * as aliases from '../../migrations/004-aliases.ts'
import { BrokerError } from '../base/errors.ts'
import type { Database } from './database.ts'

/** By their files' names, in whose order they run. */
export const MIGRATIONS = {
  '001-initial': initial,
  '002-events': events,
  '003-usage': usage,
  '004-aliases': aliases,
}

/**
 * Names of the migrations that were run now, in order.
 * @throws BrokerError storage_unavailable, or whatever else stopped one, with its name in front
 */
export async function migrate(database: Database): Promise<string[]> {
  const migrator = new Migrator({
    db: database.kysely,
    provider: { getMigrations: async () => MIGRATIONS },
  })
  let failed = 'migrations'
  try {
    return await database.run(async () => {
      const { error, results = [] } = await migrator.migrateToLatest()
      failed = results.find((result) => result.status === 'Error')?.migrationName ?? failed
      if (error) throw error // the migrator returns it; thrown here, `run` can tell a database that is away
      return results.map((result) => result.migrationName)
    })
  } catch (error) {
    if (error instanceof BrokerError) throw error
    throw new Error(`${failed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}
