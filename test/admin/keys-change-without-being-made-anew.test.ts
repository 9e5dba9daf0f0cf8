import t from 'tap'
import { ApiKeyReader } from '../../src/api-key/api-key-reader.ts'
import { ApiKeyStore } from '../../src/api-key/api-key-store.ts'
import { KeyUses } from '../../src/api-key/key-uses.ts'
import { createLog } from '../../src/base/log.ts'
import { ChangeWatcher } from '../../src/storage/changes.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { ask } from '../gateway/fixtures/client.ts'
import { trace } from '../gateway/fixtures/sandbox-calls.ts'
import { addConfig, setUp, strictConfig } from '../gateway/fixtures/upstream.ts'
import { open } from '../storage/fixtures/open.ts'
import { startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { SEALS } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'
import { CONFIGS, create, KEYS, keyConfig, start } from './fixtures/management.ts'

const MINUTE_MS = 60_000

onEachDatabase(t, 'each field by itself, and what is not named stays', async (t, database) => {
  const broker = await start(t, database)
  const [a, b] = [await create(broker, keyConfig('a')), await create(broker, keyConfig('b'))]
  const made = await broker.admin('POST', KEYS, { name: 'app', model_config_ids: [a.id] })
  const { key, ...first } = made.body
  const path = `${KEYS}/${first.id}`
  let expected = first
  const changes = [
    { name: '我的应用' },
    { model_config_ids: [b.id, a.id] },
    { models: ['model-a', 'x/y'] },
    { requests_per_minute: 60 },
    { expires_at: 4_000_000_000_000 },
    { name: 'app', model_config_ids: null, models: null, requests_per_minute: null, expires_at: null },
    {},
  ]
  for (const change of changes) {
    expected = { ...expected, ...change }
    t.match(await broker.admin('PATCH', path, change), { status: 200, body: expected })
    t.same((await broker.admin('GET', KEYS)).body.items, [expected])
  }

  await broker.admin('PATCH', path, { model_config_ids: [a.id] })
  await broker.admin('DELETE', `${CONFIGS}/${a.id}`)
  t.match(
    await broker.admin('PATCH', path, { model_config_ids: [a.id, b.id] }),
    { status: 200 },
    'a list as it was read may hold what is gone since',
  )
  const mistakes: [body: unknown, why: RegExp][] = [
    [{ model_config_ids: ['nobody'] }, /model_config_ids\.0 must be the id of a model config/],
    [{ name: '' }, /name/],
    [{ name: null }, /name/],
    [{ key }, /key is not a known name/],
    [{ prefix: 'sk-tb-x' }, /prefix is not a known name/],
    [{ requests_per_minute: 0 }, /requests_per_minute/],
    [{ expires_at: 'soon' }, /expires_at/],
    [{ models: 'model-a' }, /models/],
    [undefined, /the body/],
  ]
  for (const [body, message] of mistakes)
    t.match(await broker.admin('PATCH', path, body), { status: 422, body: { message } }, JSON.stringify(body))
  t.match(await broker.admin('PATCH', `${KEYS}/nobody`, {}), { status: 404, body: { code: 'key_not_found' } })
})

onEachDatabase(t, 'the same key may do what was changed, on every replica', async (t, { url }) => {
  const options = { databaseUrl: url, env: { DATA_DIR: t.testdir() } }
  const setup = await setUp(t, options)
  const { broker, upstream, key, configId } = setup
  const other = await startBroker(t, {
    ...options,
    shared: broker.sandbox,
    config: strictConfig(upstream.origin),
  })
  const second = await addConfig(broker, { name: 'second', models: ['model-b'] })
  const { id } = (await broker.admin('GET', KEYS)).body.items[0]
  const change = (fields: object) => broker.admin('PATCH', `${KEYS}/${id}`, fields)
  const asked = (at: { origin: string }, model: string) =>
    ask(`${at.origin}/v1/chat/completions`, { key, body: { model } })
  const status = async (at: { origin: string }, model: string) => (await asked(at, model)).status
  const answers = async (at: { origin: string }, config: string) =>
    trace(await asked(at, 'model-b'))?.startsWith(`config=${config};`) === true
  const both = [broker, other]
  for (const at of both) t.ok(await answers(at, 'main'), 'the only config takes any model')
  await change({ model_config_ids: [second, configId] })
  for (const at of both) await waitUntil(() => answers(at, 'second'))
  await change({ models: ['model-a'] })
  for (const at of both) await waitUntil(async () => (await status(at, 'model-b')) === 404)
  for (const at of both) t.equal(await status(at, 'model-a'), 200)
  await change({ requests_per_minute: 1 })
  for (const at of both) await waitUntil(async () => (await status(at, 'model-a')) === 429)
  await change({ requests_per_minute: null, expires_at: 1 })
  for (const at of both) await waitUntil(async () => (await status(at, 'model-a')) === 401)
})

onEachDatabase(t, 'a key shows the minute it was last used in', async (t, { url }) => {
  const { broker, key, v1 } = await setUp(t, { databaseUrl: url })
  const item = async () => (await broker.admin('GET', KEYS)).body.items[0]
  t.equal((await item()).last_used_at, null)
  const before = Date.now()
  t.equal((await ask(`${v1}/models`, { key })).status, 200)
  const { id, last_used_at } = await item()
  t.equal(last_used_at % MINUTE_MS, 0)
  t.ok(last_used_at > before - 2 * MINUTE_MS && last_used_at <= Date.now() + 1000)
  t.equal((await broker.admin('PATCH', `${KEYS}/${id}`, { name: 'other' })).body.last_used_at, last_used_at)
  t.ok((await broker.admin('POST', `${KEYS}/${id}/rotate`)).body.last_used_at >= last_used_at)
})

onEachDatabase(t, 'uses are written together, and a later one is never undone', async (t, where) => {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const store = new ApiKeyStore(database, new ChangeWatcher(database, createLog('silent')), SEALS)
  const made = await Promise.all(Array.from({ length: 3 }, (_, index) => store.create({ name: `${index}` })))
  const ids = made.map(({ record }) => record.id)
  let now = 100 * MINUTE_MS + 1
  let writes = 0
  const counted = {
    storeUses: (...uses: Parameters<ApiKeyStore['storeUses']>) => {
      writes += 1
      return store.storeUses(...uses)
    },
  }
  const [one, other] = [1, 2].map(() => new KeyUses(counted, () => now, createLog('silent'))) as [
    KeyUses,
    KeyUses,
  ]
  const stored = async () => {
    const keys = new Map(
      (await new ApiKeyReader(database).all()).map(({ id, lastUsedAt }) => [id, lastUsedAt]),
    )
    return ids.map((id) => keys.get(id))
  }
  for (let calls = 0; calls < 1000; calls += 1) for (const id of ids.slice(0, 2)) one.note({ id })
  await one.flush()
  t.same(await stored(), [100 * MINUTE_MS, 100 * MINUTE_MS, null])
  t.equal(writes, 1)
  await one.flush()
  t.equal(writes, 1)
  for (const id of ids) other.note({ id })
  now += MINUTE_MS
  one.note({ id: ids[0] as string })
  await one.flush()
  await other.flush() // late
  t.same(await stored(), [101 * MINUTE_MS, 100 * MINUTE_MS, 100 * MINUTE_MS])
})
