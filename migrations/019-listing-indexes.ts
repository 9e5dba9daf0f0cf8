/**
 * All that lists are chosen and ordered by stands in indexes, in the order of the list: a page is read from where it
 * begins, and what is looked for by part of a name or by state is found without a look at the rows, which are wide.
 */
import { type Kysely, MysqlAdapter } from 'kysely'

const CHOSEN_BY = ['created_at', 'id', 'active_name', 'provider', 'is_active']

export async function up(db: Kysely<unknown>): Promise<void> {
  await replace(db, 'model_configs_listing', 'model_configs_pages', ['deleted_at', ...CHOSEN_BY])
  await replace(db, 'model_configs_expiry', 'model_configs_states', ['oauth_state', ...CHOSEN_BY])
  await db.schema.createIndex('api_keys_pages').on('api_keys').columns(['created_at', 'id', 'name']).execute()
}

async function replace(db: Kysely<unknown>, old: string, name: string, columns: string[]): Promise<void> {
  await db.schema.createIndex(name).on('model_configs').columns(columns).execute()
  const dropped = db.schema.dropIndex(old)
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  await (isMysql ? dropped.on('model_configs') : dropped).execute()
}
