/** Model aliases per config: JSON text, {alias: model_id}; NULL means none. */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  const longText = db.getExecutor().adapter instanceof MysqlAdapter ? sql`mediumtext` : 'text'
  await db.schema.alterTable('model_configs').addColumn('aliases', longText).execute()
}
