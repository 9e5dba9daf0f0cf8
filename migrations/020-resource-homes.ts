/** Which account made what calls name later by its id: a file, a response, a batch. */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  const end = isMysql ? sql`character set ascii collate ascii_bin` : sql``
  await db.schema
    .createTable('resource_homes')
    .addColumn('id_hash', 'varchar(43)', (column) => column.primaryKey())
    .addColumn('config_id', 'varchar(36)', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .modifyEnd(end)
    .execute()
  await db.schema.createIndex('resource_homes_end').on('resource_homes').column('expires_at').execute()
}
