/** When upstream last took a config's tokens or key. An earlier release writes neither column, and none of its rows has one. */
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  // One by one: SQLite adds one column a statement.
  await db.schema.alterTable('model_configs').addColumn('accepted_at', 'bigint').execute()
  await db.schema.alterTable('model_configs').addColumn('accepted_version', 'integer').execute()
}
