/**
 * Writes an event in the transaction of what it tells about: neither happens without the other.
 */
import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { Database } from './database.ts'
import type { Tables } from './tables.ts'

export type EventType =
  | 'credential.refreshed'
  | 'credential.reauth_required'
  | 'credential.recovered'
  | 'credential.uncertain'
  /** Nothing renews it, or its refresh token is about to lapse. */
  | 'credential.expiring'

export interface NewEvent {
  readonly type: EventType
  readonly configId: string
  /** Why, without secrets. */
  readonly reason: string | undefined
}

const MAX_REASON = 255

export async function recordEvent(trx: Kysely<Tables>, { nowMs }: Database, event: NewEvent): Promise<void> {
  const { configId, type, reason } = event
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
