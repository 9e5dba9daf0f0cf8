/** What happened to credentials: for the audit trail, and to be delivered to a webhook. */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  const end = isMysql ? sql`character set utf8mb4 collate utf8mb4_bin` : sql``

  await db.schema
    .createTable('audit_events')
    .addColumn('id', 'varchar(36)', (column) => column.primaryKey())
    .addColumn('type', 'varchar(50)', (column) => column.notNull())
    .addColumn('config_id', 'varchar(36)', (column) => column.notNull())
    .addColumn('config_name', 'varchar(255)', (column) => column.notNull())
    .addColumn('provider', 'varchar(50)', (column) => column.notNull())
    .addColumn('reason', 'varchar(255)')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('deliveries', 'integer', (column) => column.notNull())
    .addColumn('next_delivery_at', 'bigint')
    .modifyEnd(end)
    .execute()
  await db.schema.createIndex('audit_events_time').on('audit_events').column('created_at').execute()
  await db.schema.createIndex('audit_events_delivery').on('audit_events').column('next_delivery_at').execute()

  await db.schema
    .createTable('login_links')
    .addColumn('token_hash', 'varchar(64)', (column) => column.primaryKey())
    .addColumn('config_id', 'varchar(36)', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .modifyEnd(end)
    .execute()

  await db.schema.alterTable('device_sessions').addColumn('config_id', 'varchar(36)').execute()
}
