/** Rows that somebody edited by hand, or that a restore cut short: each is worth an error of its own, and no more. */
import { sql } from 'kysely'
import t from 'tap'
import { noteChange } from '../../src/storage/changes.ts'
import { addConfig, addKey, setUp } from '../gateway/fixtures/upstream.ts'
import { call } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'

const TEXTS = ['no JSON', '', '{', '[1]', '{"a":{"b":1}}', 'null', '"text"', '[null,{}]', '[[]]']

onEachDatabase(t, 'texts that are no JSON, or other JSON', async (t, where) => {
  const { broker, key, v1, configId } = await setUp(t, { databaseUrl: where.url })
  await addConfig(broker, { name: 'other', models: ['model-b'] })
  const everywhere = await addKey(broker, { name: 'everywhere' })
  const limited = await addKey(broker, { name: 'limited', models: ['model-a'], model_config_ids: [configId] })
  const tables = openTables(t, broker, where)
  const complete = (by: string, model: string) =>
    call(`${v1}/chat/completions`, 'POST', { model, messages: [] }, by)
  /** And every replica hears of it. */
  const set = async (
    table: 'model_configs' | 'api_keys',
    column: string,
    text: string | null,
    name: string,
  ) => {
    await tables.run((db) =>
      sql`update ${sql.table(table)} set ${sql.ref(column)} = ${text} where name = ${name}`.execute(db),
    )
    await tables.run((db) => noteChange(db)) // of what, the log does not say
  }
  const isWell = async (what: string) => {
    t.equal((await complete(everywhere, 'model-b')).status, 200, `${what}: calls of others`)
    for (const path of ['/api/models/configs', '/api/keys', '/api/audit', '/api/usage'])
      t.equal((await broker.admin('GET', path)).status, 200, `${what}: ${path}`)
    t.ok((await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)).status < 500, what)
  }
  for (const text of TEXTS) {
    for (const column of ['models', 'aliases']) {
      await set('model_configs', column, text, 'main')
      await isWell(`${column} ${text}`)
      t.ok((await complete(key, 'model-a')).status < 500, `${column} ${text}: its own calls`)
    }
    await set('model_configs', 'models', '[{"model_id":"model-a"}]', 'main')
    await set('model_configs', 'aliases', null, 'main')
    for (const column of ['models', 'model_config_ids']) {
      await set('api_keys', column, text, 'limited')
      await isWell(`a key's ${column} ${text}`)
      await waitUntil(async () => (await complete(limited, 'model-a')).status !== 200)
      t.match(
        (await complete(limited, 'model-a')).status,
        404,
        `a key's ${column} ${text} lets nothing through`,
      )
      await set(
        'api_keys',
        column,
        column === 'models' ? '["model-a"]' : JSON.stringify([configId]),
        'limited',
      )
      await waitUntil(async () => (await complete(limited, 'model-a')).status === 200)
    }
  }
  await tables.run((db) => db.updateTable('audit_log').set({ details: 'no JSON' }).execute())
  await isWell('details')
  if (where.kind === 'SQLite') {
    await tables.run((db) => db.updateTable('model_configs').set({ oauth_metadata: '{' }).execute())
    await isWell('metadata')
  }
})
