/**
 * Brings the tables up to date at start. Several replicas may try at once; Kysely's lock lets one through.
 *
 * A start may be broken off anywhere. SQLite takes back what it did. MySQL keeps each change of a table, so the next start
 * does that migration again from its beginning: what is there already is passed over ({@link Engine.changeTables}), and
 * so are the rows that a migration wrote.
 */
import { type Kysely, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import * as initial from '../../migrations/001-initial.ts'
import * as events from '../../migrations/002-events.ts'
import * as usage from '../../migrations/003-usage.ts'
import * as aliases from '../../migrations/004-aliases.ts'
import * as logins from '../../migrations/005-logins.ts'
import * as encryptionCanary from '../../migrations/006-encryption-canary.ts'
import * as longTokens from '../../migrations/007-long-tokens.ts'
import * as loginTime from '../../migrations/008-login-time.ts'
import * as rowSeals from '../../migrations/009-row-seals.ts'
import * as auditLog from '../../migrations/010-audit-log.ts'
import * as acceptance from '../../migrations/011-acceptance.ts'
import * as tiedLogins from '../../migrations/012-tied-logins.ts'
import * as keyRotation from '../../migrations/013-key-rotation.ts'
import * as externalId from '../../migrations/014-external-id.ts'
import * as tokenReading from '../../migrations/015-token-reading.ts'
import * as sealedRights from '../../migrations/016-sealed-rights.ts'
import * as changeLog from '../../migrations/017-change-log.ts'
import * as dueIndex from '../../migrations/018-due-index.ts'
import * as listingIndexes from '../../migrations/019-listing-indexes.ts'
import * as resourceHomes from '../../migrations/020-resource-homes.ts'
import * as inputs from '../../migrations/021-inputs.ts'
import * as codeLogins from '../../migrations/022-code-logins.ts'
import { SECOND, sleep } from '../base/clock.ts'
import { ConfigError } from '../base/environment.ts'
import { BrokerError } from '../base/errors.ts'
import type { Database } from './database.ts'
import { isMissingTable } from './storage-error.ts'
import { TABLE_NAMES, type Tables } from './tables.ts'

const LAG_MS = 60 * SECOND
const LAG_POLL_MS = 100

/** By their files' names, in whose order they run. */
export const MIGRATIONS = {
  '001-initial': initial,
  '002-events': events,
  '003-usage': usage,
  '004-aliases': aliases,
  '005-logins': logins,
  '006-encryption-canary': encryptionCanary,
  '007-long-tokens': longTokens,
  '008-login-time': loginTime,
  '009-row-seals': rowSeals,
  '010-audit-log': auditLog,
  '011-acceptance': acceptance,
  '012-tied-logins': tiedLogins,
  '013-key-rotation': keyRotation,
  '014-external-id': externalId,
  '015-token-reading': tokenReading,
  '016-sealed-rights': sealedRights,
  '017-change-log': changeLog,
  '018-due-index': dueIndex,
  '019-listing-indexes': listingIndexes,
  '020-resource-homes': resourceHomes,
  '021-inputs': inputs,
  '022-code-logins': codeLogins,
}

/**
 * Names of the migrations that were run now, in order.
 * @throws ConfigError if the database is another program's
 * @throws BrokerError storage_unavailable, or whatever else stopped one, with its name in front
 */
export async function migrate(database: Database): Promise<string[]> {
  let failed = 'migrations'
  // Nearly always: then nobody waits for a lock that all who migrate on this server share.
  if (await database.run(isUpToDate)) return []
  await assertOurs(database)
  try {
    const done = await database.run(() =>
      database.changeTables(async (db) => {
        const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } })
        const { error, results = [] } = await migrator.migrateToLatest()
        failed = results.find((result) => result.status === 'Error')?.migrationName ?? failed
        if (error) throw error // the migrator returns it; thrown here, `run` can tell a database that is away
        return results.map((result) => result.migrationName)
      }),
    )
    await untilHere(database)
    return done
  } catch (error) {
    if (error instanceof BrokerError) throw error
    throw new Error(`${failed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** Another node of a cluster may have been asked for it than the one whose tables are used. */
async function untilHere(database: Database): Promise<void> {
  const giveUpAt = performance.now() + LAG_MS
  while (!(await database.run(isUpToDate))) {
    if (performance.now() > giveUpAt)
      throw new Error('the first server of DATABASE_URL does not get the tables')
    await sleep(LAG_POLL_MS)
  }
}

/** Before anything is written. What tells of migrations is made before all else, and so is looked for last. */
async function assertOurs({ run }: Database): Promise<void> {
  const tables = await run((db) => db.introspection.getTables())
  const taken = tables.find(({ name }) => TABLE_NAMES.includes(name))
  if (!taken || (await run(migrationsDone))) return
  throw new ConfigError(
    `DATABASE_URL: its ${taken.name} is another program's, and stays as it is; give the broker a database of its own, and bring the accounts along with: npx token-broker import mysql://…`,
  )
}

/** Exactly ours have run; what else there may be is for the migrator to judge. */
async function isUpToDate(db: Kysely<Tables>): Promise<boolean> {
  return (await migrationsDone(db))?.join() === Object.keys(MIGRATIONS).join()
}

/** Their names, in order. Undefined: none was ever begun here. */
async function migrationsDone(db: Kysely<Tables>): Promise<string[] | undefined> {
  try {
    const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db)
    return rows.map(({ name }) => name)
  } catch (error) {
    if (isMissingTable(error)) return undefined
    throw error
  }
}
