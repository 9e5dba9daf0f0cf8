/**
 * A database with as many configs as wanted: one is made through the API, and its row is copied by SQL, so that new
 * columns come along by themselves.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { Transaction } from 'kysely'
import type { Environment } from '../../src/base/environment.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import type { Tables } from '../../src/storage/tables.ts'
import { must } from '../support/broker.ts'
import { SEALS } from '../support/tables.ts'
import { connect, startBroker } from './broker.ts'
import type { Lab } from './lab.ts'
import { MODEL } from './messages.ts'

/** SQLite takes 32,766 values a statement. */
const ROWS_A_STATEMENT = 500
/** That each config under one key lists. */
export const MODELS = 20

export interface FilledDatabase {
  /** Of the broker whose it was. */
  readonly env: Environment
  /** Broker keys, in no particular order. */
  readonly keys: readonly string[]
}

interface Copy {
  readonly id: string
  readonly name: string
}

/** As many keys, each bound to one config of its own. */
export async function fillDatabase(
  lab: Lab,
  providers: Record<string, object>,
  size: number,
): Promise<FilledDatabase> {
  const broker = await startBroker(lab, { providers })
  const keys = [await connect(broker, 'bench')]
  await broker.end() // while its files are small enough to be searched
  await inSteps(broker.dataDir, size, async (trx, copies) => {
    await copyConfig(trx, copies)
    keys.push(...(await copyKey(trx, copies)))
  })
  return { env: broker.env, keys }
}

/** One key over all of them, which list the same {@link MODELS} models. */
export async function fillUnderOneKey(
  lab: Lab,
  providers: Record<string, object>,
  size: number,
): Promise<FilledDatabase> {
  const broker = await startBroker(lab, { providers })
  const models = Array.from({ length: MODELS }, (_, n) => ({ model_id: n === 0 ? MODEL : `${MODEL}-${n}` }))
  await connect(broker, 'bench', { models })
  const { key } = await must(broker.admin('POST', '/api/keys', { name: 'all' }))
  await broker.end()
  await inSteps(broker.dataDir, size, copyConfig)
  return { env: broker.env, keys: [key] }
}

async function inSteps(
  dataDir: string,
  size: number,
  copy: (trx: Transaction<Tables>, copies: readonly Copy[]) => Promise<void>,
): Promise<void> {
  const database = openDatabase({ mysqlUrl: undefined, dataDir })
  for (let from = 1; from < size; from += ROWS_A_STATEMENT) {
    const copies = Array.from({ length: Math.min(ROWS_A_STATEMENT, size - from) }, (_, index) => ({
      id: randomUUID(),
      name: `bench-${from + index}`,
    }))
    await database.transaction((trx) => copy(trx, copies))
  }
  await database.close()
}

/** Configs like the one that was made first. */
export async function copyConfig(trx: Transaction<Tables>, copies: readonly Copy[]): Promise<void> {
  const config = await trx
    .selectFrom('model_configs')
    .selectAll()
    .where('name', '=', 'bench')
    .executeTakeFirstOrThrow()
  const rows = copies.map(({ id, name }) => ({
    ...config,
    oauth_metadata: config.oauth_metadata as string | null,
    ...SEALS.config({ ...config, id }),
    ...SEALS.oauth({ ...config, id }),
    id,
    name,
    active_name: name,
  }))
  await trx.insertInto('model_configs').values(rows).execute()
}

/** A key for each of these configs. @returns them */
async function copyKey(trx: Transaction<Tables>, copies: readonly Copy[]): Promise<string[]> {
  const record = await trx
    .selectFrom('api_keys')
    .selectAll()
    .where('name', '=', 'bench')
    .executeTakeFirstOrThrow()
  const made = copies.map(({ id, name }) => ({ id, name, key: `sk-tb-${name.padStart(43, '0')}` }))
  const rows = made.map(({ id, name, key }) => ({
    ...record,
    id: randomUUID(),
    name,
    key_hash: createHash('sha256').update(key).digest('hex'),
    model_config_ids: JSON.stringify([id]),
  }))
  await trx.insertInto('api_keys').values(rows).execute()
  return made.map(({ key }) => key)
}

/** The database of a broker that runs on it, to do what another replica would. */
export function openBeside({ env }: FilledDatabase): Database {
  return openDatabase({ mysqlUrl: undefined, dataDir: env['DATA_DIR'] ?? '' })
}
