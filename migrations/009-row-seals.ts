/** What ties secrets to their rows (`src/credential/row-seals.ts`). NULL: written by a release that knows no seals. */
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  // One by one: SQLite adds one column a statement.
  await db.schema.alterTable('model_configs').addColumn('config_seal', 'varchar(64)').execute()
  await db.schema.alterTable('model_configs').addColumn('oauth_seal', 'varchar(64)').execute()
  await db.schema.alterTable('device_sessions').addColumn('session_seal', 'varchar(64)').execute()
}
