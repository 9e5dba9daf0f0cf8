/** Keys that may read the access tokens of their configs. */
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('api_keys')
    .addColumn('may_read_tokens', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
}
