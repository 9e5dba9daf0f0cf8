/**
 * A database with as many configs and keys as wanted, each key bound to one config of its own: one pair is made
 * through the API, and its rows are copied by SQL, so that new columns come along by themselves.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { Environment } from '../../src/base/environment.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { SEALS } from '../support/tables.ts'
import { connect, startBroker } from './broker.ts'
import type { Lab } from './lab.ts'

/** SQLite takes 32,766 values a statement. */
const ROWS_A_STATEMENT = 500

export interface FilledDatabase {
  /** Of the broker whose it was. */
  readonly env: Environment
  /** Broker keys, in no particular order. */
  readonly keys: readonly string[]
}

export async function fillDatabase(
  lab: Lab,
  providers: Record<string, object>,
  size: number,
): Promise<FilledDatabase> {
  const broker = await startBroker(lab, { providers })
  const keys = [await connect(broker, 'bench')]
  await broker.end() // while its files are small enough to be searched
  const database = openDatabase({ mysqlUrl: undefined, dataDir: broker.dataDir })
  while (keys.length < size) {
    keys.push(...(await copyPair(database, keys.length, Math.min(ROWS_A_STATEMENT, size - keys.length))))
  }
  await database.close()
  return { env: broker.env, keys }
}

async function copyPair(database: Database, from: number, count: number): Promise<string[]> {
  const pairs = Array.from({ length: count }, (_, index) => ({
    id: randomUUID(),
    name: `bench-${from + index}`,
    key: `sk-tb-${String(from + index).padStart(43, '0')}`,
  }))
  await database.transaction(async (trx) => {
    const config = await trx
      .selectFrom('model_configs')
      .selectAll()
      .where('name', '=', 'bench')
      .executeTakeFirstOrThrow()
    const key = await trx
      .selectFrom('api_keys')
      .selectAll()
      .where('name', '=', 'bench')
      .executeTakeFirstOrThrow()
    await trx
      .insertInto('model_configs')
      .values(
        pairs.map(({ id, name }) => ({
          ...config,
          oauth_metadata: config.oauth_metadata as string | null,
          ...SEALS.config({ ...config, id }),
          ...SEALS.oauth({ ...config, id }),
          id,
          name,
          active_name: name,
        })),
      )
      .execute()
    await trx
      .insertInto('api_keys')
      .values(
        pairs.map((pair) => ({
          ...key,
          id: randomUUID(),
          name: pair.name,
          key_hash: createHash('sha256').update(pair.key).digest('hex'),
          model_config_ids: JSON.stringify([pair.id]),
        })),
      )
      .execute()
  })
  return pairs.map((pair) => pair.key)
}
