/**
 * What a config says for the inputs of its provider's file: plain values as JSON, and all secret ones sealed as one
 * (`src/credential/stored-inputs.ts`). NULL: none.
 */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  // MySQL's text ends at 64 KiB, and uploads are sealed together; SQLite's ends nowhere.
  const text = db.getExecutor().adapter instanceof MysqlAdapter ? sql`mediumtext` : 'text'
  await db.schema.alterTable('model_configs').addColumn('inputs', text).execute()
  await db.schema.alterTable('model_configs').addColumn('inputs_sealed', text).execute()
}
