/**
 * A second connection to a broker's database, to look behind its back.
 */
import type { Test } from 'tap'
import { Secret } from '../../src/base/secret.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import type { Broker } from './broker.ts'
import type { TestDatabase } from './databases.ts'

export function openTables(
  t: Pick<Test, 'teardown'>,
  { dataDir }: Pick<Broker, 'dataDir'>,
  { kind, url }: TestDatabase,
): Database {
  const database = openDatabase({ dataDir, mysqlUrl: kind === 'MySQL' ? new Secret(url) : undefined })
  t.teardown(() => database.close())
  return database
}
