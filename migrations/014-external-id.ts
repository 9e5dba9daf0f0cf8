/** What whoever makes configs calls them: unique while set, and NULL once the config is deleted. */
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('model_configs').addColumn('external_id', 'varchar(255)').execute()
  await db.schema
    .createIndex('model_configs_external_id')
    .on('model_configs')
    .column('external_id')
    .unique()
    .execute()
}
