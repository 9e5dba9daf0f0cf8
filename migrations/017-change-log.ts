/** What each change was of, by the value that it gave the counter. */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  const end = isMysql ? sql`character set utf8mb4 collate utf8mb4_bin` : sql``
  await db.schema
    .createTable('change_log')
    .addColumn('number', 'bigint', (column) => column.notNull())
    .addColumn('kind', 'varchar(10)', (column) => column.notNull())
    .addColumn('row_id', 'varchar(36)', (column) => column.notNull())
    .addColumn('mark', 'varchar(36)', (column) => column.notNull())
    .addPrimaryKeyConstraint('change_log_rows', ['number', 'row_id'])
    .modifyEnd(end)
    .execute()
}
