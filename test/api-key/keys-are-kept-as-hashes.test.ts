import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { StoredKey } from '../../src/api-key/api-key.ts'
import { ApiKeyReader } from '../../src/api-key/api-key-reader.ts'
import { ApiKeyStore } from '../../src/api-key/api-key-store.ts'
import { ApiKeys } from '../../src/api-key/api-keys.ts'
import { BrokerError } from '../../src/base/errors.ts'
import { createLog } from '../../src/base/log.ts'
import { ChangeWatcher } from '../../src/storage/changes.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { configRow, counting, open } from '../storage/fixtures/open.ts'
import { onEachDatabase } from '../support/databases.ts'
import { SEALS } from '../support/tables.ts'

const log = createLog('silent')
/** What whoever finds the key is told of it. */
const shown = ({ lastUsedAt: _, ...rest }: StoredKey) => rest

onEachDatabase(t, 'a key is 256 random bits, kept as SHA-256 and shown once', async (t, where) => {
  const dir = t.testdir()
  const database = open(t, where, dir)
  await migrate(database)
  const changes = new ChangeWatcher(database, log)
  const store = new ApiKeyStore(database, changes, SEALS)
  const apiKeys = new ApiKeys(store, changes)
  const made = await Promise.all(
    Array.from({ length: 20 }, (_, index) => store.create({ name: `key ${index}` })),
  )
  t.equal(new Set(made.map(({ key }) => key)).size, 20)
  for (const { key, record } of made) {
    t.match(key, /^sk-tb-[A-Za-z0-9_-]{43}$/)
    t.equal(record.prefix, key.slice(0, 12))
    t.match(await apiKeys.authenticate(key), shown(record))
  }
  const rows = await database.run((db) => db.selectFrom('api_keys').selectAll().execute())
  for (const { key, record } of made) {
    const row = rows.find(({ id }) => id === record.id)
    t.equal(row?.key_hash, createHash('sha256').update(key).digest('hex'))
  }
  const listed = JSON.stringify([rows, await new ApiKeyReader(database).all()])
  for (const { key } of made) t.notOk(listed.includes(key.slice(12)))
  for (const file of readdirSync(dir)) {
    const bytes = readFileSync(join(dir, file))
    for (const { key } of made) t.equal(bytes.indexOf(key.slice(12)), -1, file)
  }
})

onEachDatabase(t, 'what is asked of a key comes back as it was', async (t, where) => {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const rows = ['a', 'b'].map((name) => configRow(name, { id: name }))
  await database.run((db) => db.insertInto('model_configs').values(rows).execute())
  const changes = new ChangeWatcher(database, log)
  const store = new ApiKeyStore(database, changes, SEALS)
  const fields = {
    name: '我的 key "1"',
    modelConfigIds: ['b', 'a'],
    models: ['x/y', '模型'],
    requestsPerMinute: 5,
    expiresAt: Date.now() + 60_000,
  }
  const { key, record } = await store.create(fields)
  t.match(record, fields)
  t.match(await new ApiKeys(store, changes).authenticate(key), shown(record), 'also from the database')
  t.same(await new ApiKeyReader(database).all(), [record])
  await store.delete(record.id)
  t.same(await new ApiKeyReader(database).all(), [])
  await t.rejects(store.delete(record.id), { code: 'key_not_found' })
})

t.test('a wrong key costs one query, not one each time', async (t) => {
  const database = open(t, { kind: 'SQLite', url: 'sqlite:' }, t.testdir())
  await migrate(database)
  const changes = new ChangeWatcher(database, log)
  const { counted, queries } = counting(database)
  const apiKeys = new ApiKeys(new ApiKeyStore(counted, changes, SEALS), changes)
  const wrong = `sk-tb-${'x'.repeat(43)}`
  for (let count = 0; count < 5; count += 1) {
    await t.rejects(async () => apiKeys.authenticate(wrong), { code: 'invalid_api_key' })
  }
  t.equal(queries(), 1)
  for (const odd of [
    undefined,
    '',
    'sk-tb-short',
    `${wrong}x`,
    `SK-TB-${'x'.repeat(43)}`,
    `sk-tb-${'é'.repeat(43)}`,
  ]) {
    await t.rejects(() => apiKeys.authenticate(odd), BrokerError)
  }
  t.equal(queries(), 1, 'what cannot be a key costs none')
  changes.noticed()
  await t.rejects(async () => apiKeys.authenticate(wrong))
  t.equal(queries(), 2, 'a change makes it forget')
})

t.test('a key ends at its millisecond, cached or not', async (t) => {
  const database = open(t, { kind: 'SQLite', url: 'sqlite:' }, t.testdir())
  await migrate(database)
  const changes = new ChangeWatcher(database, log)
  await changes.look()
  const end = Date.now()
  let now = end - 1
  Object.defineProperty(changes, 'clock', { value: () => now })
  const store = new ApiKeyStore(database, changes, SEALS)
  const { key } = await store.create({ name: 'k', expiresAt: end })
  const apiKeys = new ApiKeys(store, changes)
  for (const [at, isGood] of [
    [end - 1, true],
    [end, false],
    [end + 1, false],
    [end - 1, true],
  ] as const) {
    now = at
    const asked = (async () => apiKeys.authenticate(key))()
    if (isGood) t.equal((await asked).name, 'k')
    else await t.rejects(asked, { code: 'invalid_api_key', reason: 'the one sent has expired' })
  }
})
