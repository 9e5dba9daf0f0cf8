/**
 * What others than their owner look up of model configs and API keys: that they are there, their names, and whether
 * they need a login.
 */
import { type Expression, type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from './tables.ts'

/** In these states nothing but a login helps. */
const NEEDS_LOGIN = ['reauth_required', 'missing']

/** Deleted ones keep their names. */
export function nameAndProviderOf(trx: Kysely<Tables>, id: string) {
  return trx.selectFrom('model_configs').select(['name', 'provider']).where('id', '=', id).executeTakeFirst()
}

/** As {@link nameAndProviderOf}, inside a query. */
export function configName(id: Expression<string>): RawBuilder<string | null> {
  return sql`(select name from model_configs where model_configs.id = ${id})`
}

/** The name of a key that exists, inside a query. */
export function keyName(id: Expression<string>): RawBuilder<string | null> {
  return sql`(select name from api_keys where api_keys.id = ${id})`
}

/** Which of these ids are of configs that exist. */
export async function configsThere(trx: Kysely<Tables>, ids: readonly string[]): Promise<string[]> {
  const query = trx.selectFrom('model_configs').select('id').where('id', 'in', ids)
  return (await query.where('deleted_at', 'is', null).execute()).map(({ id }) => id)
}

/** Configs that nothing but a login helps, to be read or joined. */
export function configsInNeedOfLogin(db: Kysely<Tables>) {
  return db
    .selectFrom('model_configs')
    .select(['id', 'name', 'provider', 'oauth_version'])
    .where('active_name', 'is not', null) // it exists; with `deleted_at` databases would look at all that do
    .where('oauth_state', 'in', NEEDS_LOGIN)
}

/** Whether there is a key over all configs. @param ids among the keys of these ids only */
export async function isAnyKeyOverAll(db: Kysely<Tables>, ids?: readonly string[]): Promise<boolean> {
  const keys = db.selectFrom('api_keys').select('id').where('model_config_ids', 'is', null).limit(1)
  return (await (ids ? keys.where('id', 'in', ids) : keys).executeTakeFirst()) !== undefined
}
