/**
 * Login links are tied to their configs, and the id of a device session is stored as its SHA-256. The sessions that are
 * there stand in the old form and last for minutes: who is in the middle of a login begins again.
 */
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('login_links').addColumn('link_seal', 'varchar(64)').execute()
  await sql`delete from device_sessions`.execute(db)
}
