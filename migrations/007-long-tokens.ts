/** Room for two tokens of 32,768 characters, sealed, and the word with which a server refused a login. */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  // MySQL's text ends at 64 KiB; SQLite's ends nowhere.
  if (db.getExecutor().adapter instanceof MysqlAdapter) {
    await db.schema
      .alterTable('model_configs')
      .modifyColumn('api_key', sql`mediumtext`, (column) => column.notNull())
      .modifyColumn('oauth_access_token', sql`mediumtext`)
      .modifyColumn('oauth_refresh_token', sql`mediumtext`)
      .execute()
    await db.schema.alterTable('device_sessions').modifyColumn('tokens', sql`mediumtext`).execute()
  }
  await db.schema.alterTable('device_sessions').addColumn('error_code', 'varchar(64)').execute()
}
