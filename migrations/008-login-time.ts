/** When somebody last logged in, or handed tokens over: tells a new login from a row that went back in time. */
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('model_configs')
    .addColumn('oauth_login_at', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute()
}
