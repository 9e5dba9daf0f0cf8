/** What keys used, by the hour. */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  const end = isMysql ? sql`character set utf8mb4 collate utf8mb4_bin` : sql``

  await db.schema
    .createTable('usage_hourly')
    .addColumn('hour', 'bigint', (column) => column.notNull())
    .addColumn('key_id', 'varchar(36)', (column) => column.notNull())
    .addColumn('config_id', 'varchar(36)', (column) => column.notNull())
    .addColumn('model', 'varchar(255)', (column) => column.notNull())
    .addColumn('requests', 'bigint', (column) => column.notNull())
    .addColumn('errors', 'bigint', (column) => column.notNull())
    .addColumn('prompt_tokens', 'bigint', (column) => column.notNull())
    .addColumn('completion_tokens', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('usage_hourly_pk', ['hour', 'key_id', 'config_id', 'model'])
    .modifyEnd(end)
    .execute()
  await db.schema
    .createIndex('usage_hourly_config')
    .on('usage_hourly')
    .columns(['config_id', 'hour'])
    .execute()
}
