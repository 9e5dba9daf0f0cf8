/** One sealed row, by which a start knows whether its keys are the database's. */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  const end = isMysql ? sql`character set utf8mb4 collate utf8mb4_bin` : sql``
  await db.schema
    .createTable('encryption_canary')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('key_id', 'varchar(16)', (column) => column.notNull())
    .addColumn('sealed', 'text', (column) => column.notNull())
    .modifyEnd(end)
    .execute()
}
