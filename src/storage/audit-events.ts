/**
 * Events about credentials: an event is written in the transaction of what it tells about, and neither happens without
 * the other. The row is the webhook's outbox, and what open consoles hear; the audit log has it, too.
 */
import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { type Actor, recordAudit, recordDaily, SYSTEM } from './audit-log.ts'
import type { Database } from './database.ts'
import type { AuditEventRow, Tables } from './tables.ts'

export type EventType =
  | 'credential.refreshed'
  | 'credential.reauth_required'
  | 'credential.recovered'
  | 'credential.uncertain'
  /** A server refuses what the config was given. */
  | 'credential.refused'
  /** Nothing renews it, or its refresh token is about to lapse. */
  | 'credential.expiring'

export interface NewEvent {
  readonly type: EventType
  readonly configId: string
  /** Why, without secrets. */
  readonly reason: string | undefined
  /** Undefined: the broker itself. */
  readonly by?: Actor
}

const MAX_REASON = 255

/** Unless the same was told of this config already. @param since epoch ms */
export async function recordEventOnce(database: Database, event: NewEvent, since: number): Promise<void> {
  await database.transaction(async (trx) => {
    const told = await trx
      .selectFrom('audit_events')
      .select('id')
      .where('config_id', '=', event.configId)
      .where('type', '=', event.type)
      .where('created_at', '>', since)
      .executeTakeFirst()
    if (!told) await recordEvent(trx, database, event)
  })
}

/** Unless it was the last of these that was told of this config. */
export async function recordTurn(
  database: Database,
  event: NewEvent,
  turns: readonly EventType[],
): Promise<void> {
  await database.transaction(async (trx) => {
    const last = await trx
      .selectFrom('audit_events')
      .select('type')
      .where('config_id', '=', event.configId)
      .where('type', 'in', [...turns])
      .orderBy('created_at', 'desc')
      .executeTakeFirst()
    if (last?.type !== event.type) await recordEvent(trx, database, event)
  })
}

export async function recordEvent(trx: Kysely<Tables>, database: Database, event: NewEvent): Promise<void> {
  const { nowMs } = database
  const { configId, type, reason } = event
  if (type === 'credential.refreshed') await recordDaily(trx, database, type, configId)
  else await recordAudit(trx, database, { type, by: event.by ?? SYSTEM, configId, reason })
  await trx
    .insertInto('audit_events')
    .columns([
      'id',
      'type',
      'reason',
      'config_id',
      'config_name',
      'provider',
      'created_at',
      'deliveries',
      'next_delivery_at',
    ])
    .expression((from) =>
      from
        .selectFrom('model_configs')
        .where('id', '=', configId)
        .select((row) => [
          row.val(randomUUID()).as('event_id'),
          row.val(type).as('type'),
          row.val(reason?.slice(0, MAX_REASON) ?? null).as('reason'),
          'id',
          'name',
          'provider',
          nowMs.as('created_at'),
          sql<number>`0`.as('deliveries'),
          nowMs.as('next_delivery_at'),
        ]),
    )
    .execute()
}

/** Oldest first. @param now epoch ms */
export function dueDeliveries(
  database: Database,
  { now, notBefore, limit }: { now: number; notBefore: number; limit: number },
): Promise<AuditEventRow[]> {
  return database.run((db) =>
    db
      .selectFrom('audit_events')
      .selectAll()
      .where('next_delivery_at', '<=', now)
      .where('created_at', '>', notBefore)
      .orderBy('created_at')
      .limit(limit)
      .execute(),
  )
}

/**
 * Also the claim: only one caller moves a row on from the count it has seen.
 * @param at epoch ms; null: never again
 */
export async function scheduleDelivery(
  database: Database,
  { id, deliveries }: Pick<AuditEventRow, 'id' | 'deliveries'>,
  at: number | null,
): Promise<boolean> {
  const result = await database.run((db) =>
    db
      .updateTable('audit_events')
      .set((row) => ({ next_delivery_at: at, deliveries: row('deliveries', '+', 1) }))
      .where('id', '=', id)
      .where('deliveries', '=', deliveries)
      .executeTakeFirst(),
  )
  return result.numUpdatedRows === 1n
}

/** The newest first. @param since epoch ms */
export function eventsSince(
  database: Database,
  since: number,
  limit: number,
): Promise<Pick<AuditEventRow, 'id' | 'type' | 'config_id'>[]> {
  return database.run((db) =>
    db
      .selectFrom('audit_events')
      .select(['id', 'type', 'config_id'])
      .where('created_at', '>=', since)
      .orderBy('created_at', 'desc')
      .limit(limit)
      .execute(),
  )
}

/** Some of those that are older than an instant. How many they were. */
export async function deleteSomeEvents(database: Database, before: number, limit: number): Promise<number> {
  const rows = await database.run((db) =>
    db.selectFrom('audit_events').select('id').where('created_at', '<', before).limit(limit).execute(),
  )
  const ids = rows.map(({ id }) => id)
  if (ids.length > 0)
    await database.run((db) => db.deleteFrom('audit_events').where('id', 'in', ids).execute())
  return ids.length
}
