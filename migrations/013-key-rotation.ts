/** When a key was last used, and the keys that it took the place of, for as long as they still work. */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  const end = isMysql ? sql`character set utf8mb4 collate utf8mb4_bin` : sql``
  await db.schema.alterTable('api_keys').addColumn('last_used_at', 'bigint').execute()
  await db.schema
    .createTable('rotated_keys')
    .addColumn('key_hash', 'varchar(64)', (column) => column.primaryKey())
    .addColumn('key_id', 'varchar(36)', (column) => column.notNull())
    .addColumn('ends_at', 'bigint', (column) => column.notNull())
    .modifyEnd(end)
    .execute()
  await db.schema.createIndex('rotated_keys_key').on('rotated_keys').column('key_id').execute()
}
