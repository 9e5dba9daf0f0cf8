/**
 * A second connection to a broker's database, to look behind its back.
 */
import type { Test } from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { Secret } from '../../src/base/secret.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import type { Broker } from './broker.ts'
import type { TestDatabase } from './databases.ts'

/** Of a broker without a key of its own. */
export const SEALS = new RowSeals(new KeyRing([new Secret(BUILT_IN_ENCRYPTION_KEY)]))

export function openTables(
  t: Pick<Test, 'teardown'>,
  { dataDir }: Pick<Broker, 'dataDir'>,
  { kind, url }: TestDatabase,
): Database {
  const database = openDatabase({ dataDir, mysqlUrl: kind === 'MySQL' ? new Secret(url) : undefined })
  t.teardown(() => database.close())
  return database
}
