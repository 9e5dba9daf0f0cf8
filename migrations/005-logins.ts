/** Login links belong to one event and one version of a config; so do the device sessions that they start. */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  const end = isMysql ? sql`character set utf8mb4 collate utf8mb4_bin` : sql``
  // One by one: SQLite adds one column a statement.
  await db.schema.alterTable('login_links').addColumn('event_id', 'varchar(36)').execute()
  await db.schema.alterTable('login_links').addColumn('link', 'text').execute()
  await db.schema.alterTable('login_links').addColumn('config_version', 'integer').execute()
  await db.schema.alterTable('login_links').addColumn('used_at', 'bigint').execute()
  await db.schema.createIndex('login_links_event').on('login_links').column('event_id').unique().execute()
  await db.schema.alterTable('device_sessions').addColumn('config_version', 'integer').execute()

  await db.schema
    .createTable('ended_sessions')
    .addColumn('session_hash', 'varchar(64)', (column) => column.primaryKey())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .modifyEnd(end)
    .execute()
}
