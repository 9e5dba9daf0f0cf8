import t from 'tap'
import { onEachDatabase } from '../support/databases.ts'
import { CONFIGS, create, KEYS, keyConfig, start } from './fixtures/management.ts'

onEachDatabase(t, 'a key is made, listed without itself, and deleted', async (t, database) => {
  const broker = await start(t, database)
  const config = await create(broker, keyConfig('a'))
  const fields = {
    name: '我的 key',
    model_config_ids: [config.id],
    models: ['model-a'],
    requests_per_minute: 60,
    expires_at: 4_000_000_000_000,
  }
  const made = await broker.admin('POST', KEYS, fields)
  t.equal(made.status, 201)
  t.equal(made.headers.get('cache-control'), 'no-store')
  const { key, ...item } = made.body
  t.match(key, /^sk-tb-[A-Za-z0-9_-]{43}$/)
  t.match(item, { ...fields, id: /./, prefix: key.slice(0, 12), created_at: Number })
  const plain = await broker.admin('POST', KEYS, { name: 'plain' })
  t.match(plain.body, { model_config_ids: null, models: null, requests_per_minute: null, expires_at: null })

  const list = await broker.admin('GET', KEYS)
  t.equal(list.body.total, 2)
  t.same(list.body.items[0], item)
  t.notOk('key' in list.body.items[0])

  t.equal((await broker.admin('DELETE', `${KEYS}/${item.id}`)).status, 204)
  t.match(await broker.admin('DELETE', `${KEYS}/${item.id}`), {
    status: 404,
    body: { code: 'key_not_found' },
  })
  t.equal((await broker.admin('GET', KEYS)).body.total, 1)
})

onEachDatabase(t, 'a key over a config that is not there is refused', async (t, database) => {
  const broker = await start(t, database)
  const config = await create(broker, keyConfig('a'))
  const gone = await create(broker, keyConfig('b'))
  await broker.admin('DELETE', `${CONFIGS}/${gone.id}`)
  for (const other of [gone.id, 'nobody', config.id.toUpperCase()]) {
    t.match(await broker.admin('POST', KEYS, { name: 'k', model_config_ids: [config.id, other] }), {
      status: 422,
      body: { code: 'invalid_request', message: /model_config_ids\.1 must be the id of a model config/ },
    })
  }
  t.equal((await broker.admin('GET', KEYS)).body.total, 0)
  t.equal((await broker.admin('POST', KEYS, { name: 'k', model_config_ids: [] })).status, 201)
})
