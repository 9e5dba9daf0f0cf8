/** Where the browser of a login by authorization code comes back to. NULL: the session is one of the device flow. */
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('device_sessions').addColumn('redirect_uri', 'text').execute()
}
