import t, { type Test } from 'tap'
import { ApiKeyStore } from '../../src/api-key/api-key-store.ts'
import { ApiKeys } from '../../src/api-key/api-keys.ts'
import { createLog } from '../../src/base/log.ts'
import { ChangeWatcher } from '../../src/storage/changes.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { ask } from '../gateway/fixtures/client.ts'
import { setUp, strictConfig } from '../gateway/fixtures/upstream.ts'
import { open } from '../storage/fixtures/open.ts'
import { type Answer, type Broker, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { SEALS } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'

const BODY = { model: 'model-a' }
const HOUR_SECONDS = 3_600
const HOUR_MS = 3_600_000

async function setUpTwo(t: Test, { url }: TestDatabase) {
  const options = { databaseUrl: url, env: { DATA_DIR: t.testdir() } }
  const setup = await setUp(t, options)
  const shared = setup.broker.sandbox
  const other = await startBroker(t, { ...options, shared, config: strictConfig(setup.upstream.origin) })
  const { id } = (await setup.broker.admin('GET', '/api/keys')).body.items[0]
  const rotate = (body?: object): Promise<Answer> =>
    setup.broker.admin('POST', `/api/keys/${id}/rotate`, body)
  return { ...setup, other, id, rotate }
}

const answerOf = ({ origin }: Broker, key: string) =>
  ask(`${origin}/v1/chat/completions`, { key, body: BODY })
const statusOf = async (broker: Broker, key: string) => (await answerOf(broker, key)).status

onEachDatabase(t, 'on every replica, under the same id and with the same rights', async (t, where) => {
  const { broker, other, id, key: first, rotate } = await setUpTwo(t, where)
  for (const at of [broker, other]) t.equal(await statusOf(at, first), 200)
  const [before] = (await broker.admin('GET', '/api/keys')).body.items
  const rotated = await rotate()
  t.equal(rotated.status, 200)
  t.equal(rotated.headers.get('cache-control'), 'no-store')
  const { key: second, ...item } = rotated.body
  t.match(second, /^sk-tb-[A-Za-z0-9_-]{43}$/)
  t.not(second, first)
  t.match(item, { ...before, id, prefix: second.slice(0, 12), last_used_at: Number })
  for (const at of [broker, other])
    for (const key of [first, second]) t.equal(await statusOf(at, key), 200, 'a day by default')

  const { key: third } = (await rotate({ overlap_seconds: 1 })).body
  for (const at of [broker, other]) {
    t.equal(await statusOf(at, third), 200)
    for (const key of [first, second]) await waitUntil(async () => (await statusOf(at, key)) === 401)
  }
  const refused = await answerOf(broker, second)
  t.match(JSON.parse(refused.body.toString()).error, { code: 'invalid_api_key', message: /rotated/ })

  const { key: fourth } = (await rotate({ overlap_seconds: 0 })).body
  t.equal(await statusOf(broker, third), 401, 'at once')
  await waitUntil(async () => (await statusOf(other, third)) === 401)
  t.equal(await statusOf(other, fourth), 200)
  t.equal((await broker.admin('GET', '/api/keys')).body.total, 1)
  t.equal((await broker.admin('DELETE', `/api/keys/${id}`)).status, 204)
  for (const key of [third, fourth]) t.equal(await statusOf(broker, key), 401)
})

t.test('what no overlap can be, and whose', async (t) => {
  const { broker, rotate, key } = await setUpTwo(t, { kind: 'SQLite', url: 'sqlite:' })
  for (const overlap_seconds of [-1, 604_801, 1.5, '60', null, Number.MAX_SAFE_INTEGER]) {
    t.match(
      await rotate({ overlap_seconds }),
      { status: 422, body: { message: /overlap_seconds/ } },
      String(overlap_seconds),
    )
  }
  t.match(await rotate({ overlap: 1 }), { status: 422, body: { message: /overlap is not a known name/ } })
  t.match(await broker.admin('POST', '/api/keys/nobody/rotate'), {
    status: 404,
    body: { code: 'key_not_found' },
  })
  t.equal(await statusOf(broker, key), 200)
  t.equal((await rotate({ overlap_seconds: 604_800 })).status, 200)
  t.equal((await rotate({})).status, 200)
})

onEachDatabase(t, 'to the millisecond, cached or not, and never beyond its own end', async (t, where) => {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const changes = new ChangeWatcher(database, createLog('silent'))
  let now = 1_000_000
  Object.defineProperty(changes, 'clock', { value: () => now })
  await changes.look()
  const store = new ApiKeyStore(database, changes, SEALS)
  const ends: [keyEndsAt: number | null, overlapEndsAt: number][] = [
    [null, now + HOUR_MS],
    [now + 2 * HOUR_MS, now + HOUR_MS],
    [now + HOUR_MS / 2, now + HOUR_MS / 2],
  ]
  for (const [expiresAt, endsAt] of ends) {
    now = 1_000_000
    const { record, key } = await store.create({ name: 'k', expiresAt })
    const { key: next } = await store.rotate(record.id, HOUR_SECONDS)
    const apiKeys = new ApiKeys(store, changes)
    for (const [at, isGood] of [
      [endsAt - 1, true],
      [endsAt, false],
      [endsAt + 1, false],
      [endsAt - 1, true],
    ] as const) {
      now = at
      const asked = (async () => apiKeys.authenticate(key))()
      if (isGood) t.equal((await asked).id, record.id)
      else await t.rejects(asked, { code: 'invalid_api_key' })
    }
    t.equal((await apiKeys.authenticate(next)).id, record.id)
  }
})

onEachDatabase(
  t,
  'a later rotation makes no overlap longer; one that ended is forgotten',
  async (t, where) => {
    const database = open(t, where, t.testdir())
    await migrate(database)
    const changes = new ChangeWatcher(database, createLog('silent'))
    let now = 1_000_000
    Object.defineProperty(changes, 'clock', { value: () => now })
    const store = new ApiKeyStore(database, changes, SEALS)
    const { record } = await store.create({ name: 'k' })
    const ends = async () => {
      const rows = await database.run((db) =>
        db.selectFrom('rotated_keys').select('ends_at').orderBy('ends_at').execute(),
      )
      return rows.map(({ ends_at }) => ends_at)
    }
    await store.rotate(record.id, HOUR_SECONDS)
    await store.rotate(record.id, 2 * HOUR_SECONDS)
    t.same(await ends(), [now + HOUR_MS, now + 2 * HOUR_MS])
    await store.rotate(record.id, 60)
    t.same(await ends(), [now + 60_000, now + 60_000, now + 60_000], 'nobody meant to give the oldest more')
    now += 60_000
    await store.rotate(record.id, 60)
    t.same(await ends(), [now + 60_000])
    await store.delete(record.id)
    t.same(
      await ends(),
      [now, now + 60_000],
      'what was deleted is known for so long that who sends it is told',
    )
    now += 401 * 24 * HOUR_MS
    await store.delete((await store.create({ name: 'another' })).record.id)
    t.same(await ends(), [now], 'and then no more')
  },
)

onEachDatabase(t, 'rotated by many at once, each new key works', async (t, where) => {
  const { broker, rotate } = await setUpTwo(t, where)
  const answers = await Promise.all(Array.from({ length: 8 }, () => rotate()))
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  const keys = answers.map(({ body }) => body.key as string)
  t.equal(new Set(keys).size, keys.length)
  for (const key of keys) t.equal(await statusOf(broker, key), 200)
})
