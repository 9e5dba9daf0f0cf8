/** What ties the right to read tokens to its key (`src/api-key/key-rights.ts`). NULL: it has none, or an older release. */
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('api_keys').addColumn('right_seal', 'varchar(64)').execute()
  await db.schema.alterTable('rotated_keys').addColumn('key_seal', 'varchar(64)').execute()
}
