/**
 * A database that takes no writes of a kind for a while.
 */
import { sql } from 'kysely'
import type { Test } from 'tap'
import type { Broker } from './broker.ts'
import type { TestDatabase } from './databases.ts'
import { openTables } from './tables.ts'

/**
 * A trigger that refuses, with an error that is on nobody's list.
 *
 * @param on e.g. `before update on model_configs`
 * @returns takes it away
 */
export async function refusing(t: Test, broker: Broker, db: TestDatabase, on: string, refused = '1 = 1') {
  const database = openTables(t, broker, db)
  const body =
    db.kind === 'MySQL'
      ? `for each row if ${refused} then signal sqlstate '45000'; end if`
      : `for each row when ${refused} begin select raise(abort, 'refused'); end`
  await database.run((kysely) => sql.raw(`create trigger refusing ${on} ${body}`).execute(kysely))
  return () => database.run((kysely) => sql.raw('drop trigger refusing').execute(kysely))
}
