/**
 * Brings the tables up to date at start. Several replicas may try at once; Kysely's lock table lets one through.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FileMigrationProvider, Migrator } from 'kysely/migration'
import { BrokerError } from '../base/errors.ts'
import type { Database } from './database.ts'

const MIGRATIONS_DIR = fileURLToPath(new URL('../../migrations/', import.meta.url))

/**
 * Names of the migrations that were run now, in order.
 * @throws BrokerError storage_unavailable, or whatever else stopped one, with its name in front
 */
export async function migrate(database: Database): Promise<string[]> {
  const migrator = new Migrator({
    db: database.kysely,
    provider: new FileMigrationProvider({ fs: { readdir }, path: { join }, migrationFolder: MIGRATIONS_DIR }),
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
