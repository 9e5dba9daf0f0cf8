/** What the sweeper reads stands in its order: of one provider, the soonest end first, also where very many are due. */
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createIndex('model_configs_due')
    .on('model_configs')
    .columns(['provider', 'oauth_expires_at', 'id'])
    .execute()
}
