import t from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { createLog } from '../../src/base/log.ts'
import { Secret } from '../../src/base/secret.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { ModelConfigReader } from '../../src/model-config/model-config-reader.ts'
import { ModelConfigStore } from '../../src/model-config/model-config-store.ts'
import { ChangeWatcher } from '../../src/storage/changes.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { CONFIGS, create, keyConfig, start } from './fixtures/management.ts'

const SEALS = new RowSeals(new KeyRing([new Secret(BUILT_IN_ENCRYPTION_KEY)]))

const STALE = {
  status: 409,
  body: { code: 'stale_update', detail: /已被其他用户修改/, message: /read it again/ },
}

onEachDatabase(t, 'a form filled from an older state is refused, a fresh one is not', async (t, database) => {
  const broker = await start(t, database)
  const { id, updated_at } = await create(broker, keyConfig('first'))
  const put = (body: object) => broker.admin('PUT', `${CONFIGS}/${id}`, body)
  const mine = await put({ name: 'mine', updated_at })
  t.equal(mine.status, 200)
  t.match(await put({ name: 'theirs', updated_at }), STALE)
  t.equal((await broker.admin('GET', `${CONFIGS}/${id}`)).body.name, 'mine')
  t.equal((await put({ name: 'theirs', updated_at: mine.body.updated_at })).status, 200)
  t.equal((await put({ name: 'whatever' })).status, 200, 'without the lock the last one wins')
})

onEachDatabase(t, 'of many forms sent at once, one is taken', async (t, database) => {
  const broker = await start(t, database)
  const { id, updated_at } = await create(broker, keyConfig('first'))
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      broker.admin('PUT', `${CONFIGS}/${id}`, { name: `form ${index}`, updated_at }),
    ),
  )
  t.same(answers.map(({ status }) => status).sort(), [200, ...Array(9).fill(409)])
  const winner = answers.find(({ status }) => status === 200)
  t.same((await broker.admin('GET', `${CONFIGS}/${id}`)).body, winner?.body)
})

onEachDatabase(t, 'a refresh does not put an open form out of date', async (t, database) => {
  const broker = await start(t, database)
  const { configId } = await broker.connect()
  const before = await broker.admin('GET', `${CONFIGS}/${configId}`)
  const after = await broker.admin('POST', `${CONFIGS}/${configId}/refresh`)
  t.equal(after.status, 200)
  t.not(after.body.credential.refreshed_at, before.body.credential.refreshed_at)
  t.equal(after.body.updated_at, before.body.updated_at)
  const { updated_at } = before.body
  t.equal((await broker.admin('PUT', `${CONFIGS}/${configId}`, { name: 'renamed', updated_at })).status, 200)
})

onEachDatabase(
  t,
  'a change is written over the row that it was judged by, and over no other',
  async (t, database) => {
    const broker = await start(t, database)
    const { id } = await create(broker, keyConfig('first'))
    const tables = openTables(t, broker, database)
    const store = new ModelConfigStore(tables, SEALS, new ChangeWatcher(tables, createLog('silent')))
    const reader = new ModelConfigReader(tables)
    const judged = await reader.get(id)
    t.equal(
      (await broker.admin('PUT', `${CONFIGS}/${id}`, { base_url: 'https://models.example/v2' })).status,
      200,
    )
    await t.rejects(store.update(judged, { name: 'late' }, undefined), { code: 'stale_update' })
    await store.update(await reader.get(id), { name: 'in time' }, undefined)
    t.equal((await broker.admin('GET', `${CONFIGS}/${id}`)).body.name, 'in time')
  },
)
