import t, { type Test } from 'tap'
import { parseMetadata } from '../../src/credential/credential-columns.ts'
import { type Database, DuplicateError } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { configRow, open } from './fixtures/open.ts'

async function migrated(t: Test, where: TestDatabase): Promise<Database> {
  const database = open(t, where, t.testdir())
  await migrate(database)
  return database
}

function insert({ run }: Database, ...rows: ReturnType<typeof configRow>[]) {
  return run((db) => db.insertInto('model_configs').values(rows).execute())
}

function names({ run }: Database): Promise<string[]> {
  return run(async (db) => {
    const rows = await db.selectFrom('model_configs').select('name').orderBy('id').execute()
    return rows.map((row) => row.name)
  })
}

onEachDatabase(t, 'compare-and-set counts the rows it hit', async (t, where) => {
  const database = await migrated(t, where)
  await insert(database, configRow('a'))
  const set = (version: number) =>
    database.run((db) =>
      db
        .updateTable('model_configs')
        .set({ oauth_version: version + 1 })
        .where('id', '=', 'id-a')
        .where('oauth_version', '=', version)
        .executeTakeFirst(),
    )
  t.equal((await set(1)).numUpdatedRows, 1n)
  t.equal((await set(1)).numUpdatedRows, 0n, 'somebody was faster')
  const racers = await Promise.all(Array.from({ length: 20 }, () => set(2)))
  t.equal(racers.filter((result) => result.numUpdatedRows === 1n).length, 1)
})

onEachDatabase(t, 'a write that changes nothing still hits its row', async (t, where) => {
  const database = await migrated(t, where)
  await insert(database, configRow('a'))
  const result = await database.run((db) =>
    db.updateTable('model_configs').set({ oauth_version: 1 }).where('id', '=', 'id-a').executeTakeFirst(),
  )
  t.equal(result.numUpdatedRows, 1n)
})

onEachDatabase(t, "'Ab' and 'aB' are two names, 'Ab' twice is one", async (t, where) => {
  const database = await migrated(t, where)
  await insert(database, configRow('Ab'), configRow('aB'), configRow('ab'), configRow('äb'))
  const found = await database.run((db) =>
    db.selectFrom('model_configs').select('id').where('active_name', '=', 'aB').execute(),
  )
  t.same(found, [{ id: 'id-aB' }])
  await t.rejects(insert(database, configRow('Ab', { id: 'other' })), DuplicateError)
  await t.rejects(insert(database, configRow('other', { id: 'id-Ab' })), DuplicateError)
  await insert(database, configRow('Ab', { id: 'gone', active_name: null }))
  await insert(database, configRow('Ab', { id: 'gone too', active_name: null }))
})

onEachDatabase(t, 'a transaction that fails leaves nothing', async (t, where) => {
  const database = await migrated(t, where)
  const failing = database.transaction(async (trx) => {
    await trx.insertInto('model_configs').values(configRow('half')).execute()
    throw new Error('changed my mind')
  })
  await t.rejects(failing, /changed my mind/)
  t.same(await names(database), [])
  const refused = database.transaction(async (trx) => {
    await trx.insertInto('model_configs').values(configRow('half')).execute()
    await trx.insertInto('model_configs').values(configRow('half')).execute()
  })
  await t.rejects(refused, DuplicateError)
  t.same(await names(database), [])
  await database.transaction((trx) => trx.insertInto('model_configs').values(configRow('whole')).execute())
  t.same(await names(database), ['whole'])
})

onEachDatabase(t, 'every value comes back as it was', async (t, where) => {
  const database = await migrated(t, where)
  const row = configRow('配置 🔑 "\\\'%_', {
    base_url: 'x'.repeat(2048),
    api_key: 'k'.repeat(12_000),
    models: JSON.stringify(['模型', '🙂']),
    oauth_access_token: 'a'.repeat(12_000),
    oauth_expires_at: 8_640_000_000_000_000,
    oauth_scope: 'é'.repeat(500),
    oauth_refresh_fingerprint: null,
  })
  await insert(database, row)
  const back = await database.run((db) =>
    db.selectFrom('model_configs').selectAll().executeTakeFirstOrThrow(),
  )
  t.match(back, row)
  t.equal(typeof back.oauth_expires_at, 'number')
})

onEachDatabase(t, 'JSON metadata comes back as an object, not as a string in a string', async (t, where) => {
  const database = await migrated(t, where)
  const metadata = { resource_url: 'portal.qwen.ai', ключ: ['"', { deep: null }], n: 1.5 }
  await insert(
    database,
    configRow('full', { oauth_metadata: JSON.stringify(metadata) }),
    configRow('none', { oauth_metadata: null }),
  )
  const rows = await database.run((db) =>
    db.selectFrom('model_configs').select('oauth_metadata').orderBy('id').execute(),
  )
  t.same(parseMetadata(rows[0]?.oauth_metadata), metadata)
  t.same(parseMetadata(rows[1]?.oauth_metadata), {})
})

onEachDatabase(t, 'the clock is in milliseconds and near ours', async (t, where) => {
  const database = await migrated(t, where)
  const before = Date.now()
  const { now } = await database.run((db) =>
    db.selectFrom('change_counter').select(database.nowMs.as('now')).executeTakeFirstOrThrow(),
  )
  t.ok(now > before - 1_000 && now < Date.now() + 1_000, String(now))
  t.ok(Number.isInteger(now))
})
