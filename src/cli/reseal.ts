/**
 * Seals anew what is sealed in the database: with the first key (`encryption-key rotate`), or for the first time to its
 * row (`encryption-key seal`), while brokers run.
 *
 * A row is written only if it still is what was read: whoever changes it meanwhile seals it with the current key.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import { checkRight, checkRotated, sealRight, sealRotated } from '../api-key/key-rights.ts'
import { BrokerError } from '../base/errors.ts'
import type { RowSeals } from '../credential/row-seals.ts'
import { checkLink, sealLink } from '../event/login-links.ts'
import type { DeviceSessionStore } from '../onboarding/device-session-store.ts'
import type { Database } from '../storage/database.ts'
import type {
  ApiKeyRow,
  DeviceSessionRow,
  LoginLinkRow,
  ModelConfigRow,
  RotatedKeyRow,
} from '../storage/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'

export interface Resealed {
  /** Values that were sealed anew. */
  readonly count: number
  /** Rows that were written, also where only their seal was wanting. */
  readonly rows: number
  /** `TABLE ID` of rows that were left as they are: no key opens a value, or the seal that they have does not hold. */
  readonly left: readonly string[]
}

type Row = Record<string, unknown>

/** A table with sealed columns. */
interface Sealed {
  readonly table: string
  readonly id: string
  readonly columns: readonly string[]
  /** Must be as they were read, beside the sealed columns themselves. */
  readonly witnesses: readonly string[]
  /** @throws BrokerError decryption_failed if somebody without the key has been at it */
  check(row: Row): void
  seals(row: Row): Row
}

const PAGE = 500
/** How often a row that is changed again and again is read again. */
const TRIES = 10
/** After so many rows it rests for so many times as long as it worked: brokers share its processor and its database. */
const ROWS_AT_ONCE = 20
const REST = 2

/** @param tie also rows that have no seal yet, or a wrong one: whatever is there counts as right */
export async function resealAll(
  database: Database,
  keyRing: KeyRing,
  seals: RowSeals,
  sessions: Pick<DeviceSessionStore, 'check' | 'seal'>,
  tie: boolean,
): Promise<Resealed> {
  const left: string[] = []
  let count = 0
  let rows = 0
  const rest = resting()
  for (const sealed of sealedTables(seals, sessions)) {
    for await (const row of rowsOf(database, sealed)) {
      await rest()
      const outcome = await resealRow(database, keyRing, sealed, row, tie)
      if (outcome === 'left') left.push(`${sealed.table} ${row[sealed.id]}`)
      if (typeof outcome !== 'number') continue
      count += outcome
      rows += 1
    }
  }
  return { count, rows, left }
}

/** To be called before each row. */
function resting(): () => Promise<void> {
  let row = 0
  let since = performance.now()
  return async () => {
    row += 1
    if (row % ROWS_AT_ONCE !== 0) return
    await sleep(REST * (performance.now() - since))
    since = performance.now()
  }
}

function sealedTables(seals: RowSeals, sessions: Pick<DeviceSessionStore, 'check' | 'seal'>): Sealed[] {
  return [
    {
      table: 'model_configs',
      id: 'id',
      columns: ['api_key', 'inputs_sealed', 'oauth_access_token', 'oauth_refresh_token'],
      witnesses: ['base_url', 'inputs', 'oauth_version', 'config_seal', 'oauth_seal'],
      check(row) {
        seals.checkConfig(row as unknown as ModelConfigRow)
        seals.checkOAuth(row as unknown as ModelConfigRow)
      },
      seals: (row) => ({
        ...seals.config(row as unknown as ModelConfigRow),
        ...seals.oauth(row as unknown as ModelConfigRow),
      }),
    },
    {
      table: 'device_sessions',
      id: 'id',
      columns: ['device_code', 'code_verifier', 'tokens'],
      witnesses: ['status', 'session_seal'],
      check: (row) => sessions.check(row as unknown as DeviceSessionRow),
      seals: (row) => sessions.seal(row as unknown as DeviceSessionRow),
    },
    {
      table: 'api_keys',
      id: 'id',
      columns: [],
      witnesses: ['key_hash', 'model_config_ids', 'models', 'expires_at', 'may_read_tokens', 'right_seal'],
      check: (row) => checkRight(seals, row as unknown as ApiKeyRow),
      seals: (row) => sealRight(seals, row as unknown as ApiKeyRow),
    },
    {
      table: 'rotated_keys',
      id: 'key_hash',
      columns: [],
      witnesses: ['key_id', 'ends_at', 'key_seal'],
      check: (row) => checkRotated(seals, row as unknown as RotatedKeyRow),
      seals: (row) => sealRotated(seals, row as unknown as RotatedKeyRow),
    },
    {
      table: 'login_links',
      id: 'token_hash',
      columns: ['link'],
      witnesses: ['used_at', 'link_seal'],
      check: (row) => checkLink(seals, row as unknown as LoginLinkRow),
      seals: (row) => sealLink(seals, row as unknown as LoginLinkRow),
    },
  ]
}

async function resealRow(
  database: Database,
  keyRing: KeyRing,
  sealed: Sealed,
  first: Row,
  tie: boolean,
): Promise<number | 'current' | 'left'> {
  let row: Row | undefined = first
  for (let tries = 0; row && tries < TRIES; tries += 1) {
    const changes = changesOf(row, keyRing, sealed, tie)
    if (changes === 'left') return 'left'
    if (Object.keys(changes).length === 0) return 'current'
    if (await write(database, sealed, row, changes)) {
      return sealed.columns.filter((column) => changes[column] !== undefined).length
    }
    row = await readRow(database, sealed, row[sealed.id])
  }
  return row ? 'left' : 'current'
}

/** What is to be written: nothing if the first key sealed all of it. */
function changesOf(row: Row, keyRing: KeyRing, sealed: Sealed, tie: boolean): Row | 'left' {
  try {
    if (!tie) sealed.check(row)
    const changed: Row = {}
    for (const column of sealed.columns) {
      const value = row[column]
      if (typeof value === 'string' && value !== '' && !keyRing.isCurrent(value)) {
        changed[column] = keyRing.seal(keyRing.open(value))
      }
    }
    const renewed = sealed.seals({ ...row, ...changed })
    const isSame = Object.entries(renewed).every(([column, seal]) => row[column] === seal)
    return isSame ? changed : { ...changed, ...renewed }
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'decryption_failed') return 'left'
    throw error
  }
}

/** In pages by the key, so that no read holds a table for long. */
async function* rowsOf(database: Database, { table, id }: Sealed): AsyncGenerator<Row> {
  for (let after = ''; ; ) {
    const rows = await database.run((db) =>
      anyTable(db).selectFrom(table).selectAll().where(id, '>', after).orderBy(id).limit(PAGE).execute(),
    )
    yield* rows
    if (rows.length < PAGE) return
    after = String(rows.at(-1)?.[id])
  }
}

function readRow(database: Database, { table, id }: Sealed, value: unknown): Promise<Row | undefined> {
  return database.run((db) =>
    anyTable(db).selectFrom(table).selectAll().where(id, '=', value).executeTakeFirst(),
  )
}

async function write(database: Database, sealed: Sealed, row: Row, changes: Row): Promise<boolean> {
  const result = await database.run((db) => {
    let query = anyTable(db).updateTable(sealed.table).set(changes).where(sealed.id, '=', row[sealed.id])
    for (const column of [...sealed.columns, ...sealed.witnesses]) {
      const value = row[column] ?? null
      query = query.where(column, value === null ? 'is' : '=', value)
    }
    return query.executeTakeFirst()
  })
  return result.numUpdatedRows === 1n
}

/** The names above are columns of the tables; which ones, no type can tell here. */
function anyTable(db: Database['kysely']): Kysely<Record<string, Row>> {
  return db as unknown as Kysely<Record<string, Row>>
}
