/**
 * Who did what and when, for `GET /api/audit`: written in the transaction of what it tells about, without secrets.
 *
 * What happens often is one row that counts: a credential's refreshes of a day, a caller's refused tokens of a minute.
 */
import { randomUUID } from 'node:crypto'
import {
  type ExpressionBuilder,
  type InsertQueryBuilder,
  type InsertResult,
  type Kysely,
  type Selectable,
  sql,
} from 'kysely'
import { DAY } from '../base/clock.ts'
import type { Database } from './database.ts'
import { inKeyOrder, type PageStart, type Position } from './keyset.ts'
import { nameAndProviderOf } from './look-ups.ts'
import type { AuditLogRow, Tables } from './tables.ts'

export const ACTORS = [
  'admin token',
  'console',
  'login link',
  'api key',
  'onboarding',
  'command line',
  'system',
] as const

export interface Actor {
  readonly kind: (typeof ACTORS)[number]
  readonly address?: string | undefined
}
export const SYSTEM: Actor = { kind: 'system' }
export const COMMAND_LINE: Actor = { kind: 'command line' }

export interface AuditEntry {
  /** `kind.what`, e.g. `config.updated`. */
  readonly type: string
  readonly by: Actor
  /** Its name and provider are looked up. */
  readonly configId?: string
  /** Where there is no config yet. */
  readonly provider?: string
  readonly key?: { readonly id: string; readonly name: string }
  readonly reason?: string | undefined
  /** What changed: names and numbers, never a secret. */
  readonly details?: object
}

type Now = Pick<Database, 'nowMs'>

const MAX_REASON = 255
const MAX_ADDRESS = 64
const COLUMNS = [
  'id',
  'type',
  'actor',
  'address',
  'config_id',
  'config_name',
  'provider',
  'key_id',
  'key_name',
  'reason',
  'details',
  'count',
  'created_at',
  'last_at',
] as const

/** Call it with the transaction of what it tells about. A config is named as it is at that moment. */
export async function recordAudit(trx: Kysely<Tables>, { nowMs }: Now, entry: AuditEntry): Promise<void> {
  const { configId, key, details, by } = entry
  const shared = {
    id: randomUUID(),
    type: entry.type,
    actor: by.kind,
    address: by.address?.slice(0, MAX_ADDRESS) ?? null,
    key_id: key?.id ?? null,
    key_name: key?.name ?? null,
    reason: entry.reason?.slice(0, MAX_REASON) ?? null,
    details: details ? JSON.stringify(details) : null,
    count: 1,
    created_at: nowMs,
    last_at: nowMs,
  }
  const config = configId === undefined ? undefined : await nameAndProviderOf(trx, configId)
  const provider = config?.provider ?? entry.provider ?? null
  const values = { ...shared, config_id: configId ?? null, config_name: config?.name ?? null, provider }
  await trx.insertInto('audit_log').values(values).execute()
}

/** What is told of a credential once a day, with how often it was so. */
export type DailyType = 'credential.refreshed' | 'credential.tampered'

/** One row a config and day. */
export async function recordDaily(
  trx: Kysely<Tables>,
  database: Database,
  type: DailyType,
  configId: string,
): Promise<void> {
  const { nowMs, kind } = database
  const id = `${type.slice('credential.'.length)}:${configId}:${Math.floor(Date.now() / DAY)}`
  const insert = trx
    .insertInto('audit_log')
    .columns(COLUMNS)
    .expression((from) =>
      from
        .selectFrom('model_configs')
        .where('model_configs.id', '=', configId)
        .select((row) => [
          row.val(id).as('entry_id'),
          row.val(type).as('type'),
          row.val(SYSTEM.kind).as('actor'),
          sql<null>`null`.as('address'),
          'model_configs.id as config_id',
          'name as config_name',
          'provider',
          sql<null>`null`.as('key_id'),
          sql<null>`null`.as('key_name'),
          sql<null>`null`.as('reason'),
          sql<null>`null`.as('details'),
          sql<number>`1`.as('count'),
          nowMs.as('created_at'),
          nowMs.as('last_at'),
        ]),
    )
  await again(insert, kind, 1, nowMs)
}

export interface Refused {
  /** The beginning of the minute, epoch ms. */
  readonly minute: number
  readonly address: string
  readonly count: number
}

/** One row an address and minute, for all replicas. */
export async function recordRefused(database: Database, { minute, address, count }: Refused): Promise<void> {
  const values = {
    id: `refused:${minute}:${address}`,
    type: 'access.refused',
    actor: 'system',
    address: address.slice(0, MAX_ADDRESS),
    count,
    created_at: database.nowMs,
    last_at: database.nowMs,
  }
  await database.run((db) =>
    again(db.insertInto('audit_log').values(values), database.kind, count, database.nowMs),
  )
}

type Insert = InsertQueryBuilder<Tables, 'audit_log', InsertResult>

/** Inserts, or adds to the row that is there: one statement, so that nobody waits for anybody in a circle. */
function again(query: Insert, kind: Database['kind'], added: number, now: Now['nowMs']): Promise<unknown> {
  const values = { count: sql<number>`audit_log.count + ${added}`, last_at: now }
  return kind === 'mysql'
    ? query.onDuplicateKeyUpdate(values).execute()
    : query.onConflict((conflict) => conflict.column('id').doUpdateSet(values)).execute()
}

export interface AuditFilter {
  readonly configId: string | undefined
  /** `config.updated`, or `config` for all of its kind. */
  readonly types: readonly string[] | undefined
  readonly actors: readonly string[] | undefined
  /** Epoch ms. */
  readonly from: number | undefined
  /** Exclusive. */
  readonly to: number | undefined
}

export type AuditEntryRow = Selectable<AuditLogRow>

export async function countAudit(database: Database, filter: AuditFilter): Promise<number> {
  const { total } = await database.run((db) =>
    matching(db, filter)
      .select(({ fn }) => fn.countAll<number>().as('total'))
      .executeTakeFirstOrThrow(),
  )
  return Number(total)
}

/** So many at most, newest first. */
export function listAudit(
  database: Database,
  filter: AuditFilter,
  start: PageStart,
  limit: number,
): Promise<AuditEntryRow[]> {
  return database.run((db) => {
    const order = { columns: ['last_at', 'id'], direction: 'desc', start, limit } as const
    return db
      .selectFrom(inKeyOrder(matching(db, filter).select('id'), order).as('page'))
      .crossJoin('audit_log') // SQLite keeps to this order
      .whereRef('audit_log.id', '=', 'page.id')
      .selectAll('audit_log')
      .orderBy('audit_log.last_at', 'desc')
      .orderBy('audit_log.id', 'desc')
      .execute()
  })
}

/** Where an entry stands in the list. */
export function placeInAudit({ last_at, id }: AuditEntryRow): Position {
  return [last_at, id]
}

function matching(db: Kysely<Tables>, filter: AuditFilter) {
  return db.selectFrom('audit_log').where((row) => row.and(conditionsOf(row, filter)))
}

type Row = ExpressionBuilder<Tables, 'audit_log'>

function conditionsOf(row: Row, { configId, types, actors, from, to }: AuditFilter) {
  return [
    configId !== undefined && row('config_id', '=', configId),
    actors && row('actor', 'in', actors),
    types && row.or(types.map((type) => ofType(row, type))),
    from !== undefined && row('last_at', '>=', from),
    to !== undefined && row('last_at', '<', to),
  ].filter((condition) => typeof condition === 'object')
}

/** A kind without a dot stands for everything of that kind. */
function ofType(row: Row, type: string) {
  return type.includes('.')
    ? row('type', '=', type)
    : row.and([row('type', '>=', `${type}.`), row('type', '<', `${type}/`)])
}

/** Some of those that are older than an instant, perhaps only those of a type. How many they were. */
export async function deleteSomeAudit(
  database: Database,
  { before, type, limit }: { before: number; type?: string | undefined; limit: number },
): Promise<number> {
  const rows = await database.run((db) => {
    const old = db.selectFrom('audit_log').select('id').where('last_at', '<', before).limit(limit)
    return (type === undefined ? old : old.where('type', '=', type)).execute()
  })
  const ids = rows.map(({ id }) => id)
  if (ids.length > 0) await database.run((db) => db.deleteFrom('audit_log').where('id', 'in', ids).execute())
  return ids.length
}
