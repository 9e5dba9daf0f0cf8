import t, { type Test } from 'tap'
import { ApiKeyStore } from '../../src/api-key/api-key-store.ts'
import { readAhead } from '../../src/background.ts'
import { createLog } from '../../src/base/log.ts'
import type { ConfigIndex } from '../../src/model-config/config-index.ts'
import { ModelConfigReader, type RoutingRow } from '../../src/model-config/model-config-reader.ts'
import { ModelConfigs } from '../../src/model-config/model-configs.ts'
import type { Provider } from '../../src/provider/provider.ts'
import { ChangeWatcher, noteChange } from '../../src/storage/changes.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { configRow, open } from '../storage/fixtures/open.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { SEALS } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'

const ROWS = 2_100
const PAGES = 11

/** Two replicas on one database of {@link ROWS} configs `id-c0`, …; what the one changes the other learns. */
async function setUp(t: Test, where: TestDatabase) {
  const database = open(t, where, t.testdir())
  await migrate(database)
  for (let from = 0; from < ROWS; from += 700)
    await database.run((db) =>
      db
        .insertInto('model_configs')
        .values(Array.from({ length: 700 }, (_, n) => newRow(from + n)))
        .execute(),
    )
  const changes = new ChangeWatcher(database, createLog('silent'))
  await changes.look()
  const reader = new ModelConfigReader(database)
  const asked: string[] = []
  const listening = {
    ofIds: (ids: readonly string[]) => {
      asked.push(ids.join(' '))
      return reader.ofIds(ids)
    },
    after: (last: RoutingRow | undefined, limit: number) => {
      asked.push(`${limit} after ${last?.id}`)
      return reader.after(last, limit)
    },
  }
  const configs = new ModelConfigs(listening, changes, new Map())
  const change = (n: number, values: object) =>
    database.transaction(async (trx) => {
      await trx.updateTable('model_configs').set(values).where('id', '=', `id-c${n}`).execute()
      await noteChange(trx, [{ kind: 'config', id: `id-c${n}` }])
    })
  const reads = () => asked.splice(0)
  return { database, changes, configs, change, reads }
}

function newRow(n: number, created_at = n) {
  return configRow(`c${n}`, { created_at, models: JSON.stringify([{ model_id: n % 2 ? 'odd' : 'even' }]) })
}

function answering(index: ConfigIndex, model: string): number {
  return index.answering(model).length
}

onEachDatabase(t, 'all configs are read in pages, and after a change that one alone', async (t, where) => {
  const { database, changes, configs, change, reads } = await setUp(t, where)
  t.equal((await configs.ofScope(null)).all.length, ROWS)
  const pages = reads()
  t.same(pages.slice(0, 2), ['200 after undefined', '200 after id-c199'])
  t.equal(pages.length, PAGES)
  t.ok(configs.peek(null))

  await change(4, { is_active: 0 })
  await change(5, { models: '[{"model_id":"even"}]' })
  await change(6, { deleted_at: 1, active_name: null })
  await changes.look()
  t.equal(configs.peek(null), undefined)
  const [index, same] = await Promise.all([configs.ofScope(null), configs.ofScope(null)])
  t.equal(index, same)
  t.same(reads(), ['id-c6 id-c5 id-c4'])
  t.same([index.all.length, answering(index, 'odd'), answering(index, 'even')], [2_099, 1_049, 1_049])

  await database.transaction(async (trx) => {
    await trx.insertInto('model_configs').values(newRow(ROWS, 7)).execute()
    await noteChange(trx, [{ kind: 'config', id: `id-c${ROWS}` }])
  })
  await changes.look()
  t.same(
    (await configs.ofScope(null)).all.slice(6, 9).map(({ name }) => name),
    [`c${ROWS}`, 'c7', 'c8'],
    'each at its place',
  )
  changes.noticed([{ kind: 'key', id: 'a key' }])
  t.ok(configs.peek(null), 'what changed is no config')
  changes.noticed()
  reads()
  await configs.ofScope(null)
  t.equal(reads().length, PAGES, 'anything may have changed')
})

onEachDatabase(t, 'others have their turn between one page and the next', async (t, where) => {
  const { configs, reads } = await setUp(t, where)
  let isDone = false
  const all = configs.ofScope(null).then(() => {
    isDone = true
  })
  const pagesInATurn = new Set<number>()
  while (!isDone) {
    await new Promise((resolve) => setImmediate(resolve))
    pagesInATurn.add(reads().length)
  }
  await all
  t.notOk(pagesInATurn.has(PAGES), [...pagesInATurn].join())
})

t.test('equal lists are told apart by aliases, and by what the provider file lists', async (t) => {
  const changes = new ChangeWatcher(
    open(t, { kind: 'SQLite', url: 'sqlite:' }, t.testdir()),
    createLog('silent'),
  )
  const row = { models: '[]', aliases: null, is_active: 1 }
  const rows: RoutingRow[] = [
    { ...row, id: 'a', name: 'a', provider: 'p', created_at: 1 },
    { ...row, id: 'b', name: 'b', provider: 'q', created_at: 2 },
    { ...row, id: 'c', name: 'c', provider: 'q', created_at: 3, aliases: '{"x":"n"}' },
    { ...row, id: 'd', name: 'd', provider: 'p', created_at: 4 },
  ]
  const lists = (name: string, models: string[]) => [name, { name, upstream: { models } }] as const
  const providers = new Map([lists('p', ['m']), lists('q', ['n'])]) as unknown as Map<string, Provider>
  const reader = { ofIds: async () => [], after: async () => rows }
  const index = await new ModelConfigs(reader, changes, providers).ofScope(null)
  const ids = (name: string) => index.answering(name).map(({ id }) => id)
  t.same([ids('m'), ids('n'), ids('x')], [['a', 'd'], ['b', 'c'], ['c']])
})

onEachDatabase(t, 'all are read ahead where a key is over all of them', async (t, where) => {
  const { database, changes, configs } = await setUp(t, where)
  const keys = new ApiKeyStore(database, changes, SEALS)
  await keys.create({ name: 'all' })
  await readAhead({ database, configs, changes, log: createLog('silent') })
  t.equal(configs.peek(null)?.all.length, ROWS)
})

for (const place of ['here', 'at another replica']) {
  onEachDatabase(t, `all are read ahead once a key over all of them is made ${place}`, async (t, where) => {
    const { database, changes, configs, reads } = await setUp(t, where)
    const log = createLog('silent')
    const keys = new ApiKeyStore(
      database,
      place === 'here' ? changes : new ChangeWatcher(database, log),
      SEALS,
    )
    const { record } = await keys.create({ name: 'some', modelConfigIds: ['id-c1'] })
    await changes.look()
    await readAhead({ database, configs, changes, log })
    await keys.create({ name: 'some more', modelConfigIds: ['id-c1'] })
    await changes.look()
    t.equal(configs.knowsAll, false)
    await keys.update(record.id, { modelConfigIds: null })
    await changes.look()
    await waitUntil(() => configs.peek(null)?.all.length === ROWS)
    reads()
    await keys.create({ name: 'another' })
    await changes.look()
    t.same(reads(), [], 'once is enough')
  })
}

onEachDatabase(t, 'a key over some configs reads those of them that changed', async (t, where) => {
  const { changes, configs, change, reads } = await setUp(t, where)
  const ids = ['id-c3', 'id-c1', 'id-none', 'id-c2']
  const names = async () => (await configs.ofScope(ids)).all.map(({ name }) => name)
  t.same(await names(), ['c3', 'c1', 'c2'])
  await change(9, { is_active: 0 })
  await changes.look()
  t.ok(configs.peek(ids))
  await change(1, { name: 'new' })
  await changes.look()
  reads()
  t.same(await names(), ['c3', 'new', 'c2'])
  t.same(reads(), ['id-c1'])
})

t.test(
  'whoever asks after a change gets what is so then, however long the reads before it take',
  async (t) => {
    const changes = new ChangeWatcher(
      open(t, { kind: 'SQLite', url: 'sqlite:' }, t.testdir()),
      createLog('silent'),
    )
    const reads: ((name: string) => void)[] = []
    const reader = {
      ofIds: async () => {
        const { promise, resolve } = Promise.withResolvers<string>()
        reads.push(resolve)
        const row = { id: 'a', provider: 'p', models: '[]', aliases: null, is_active: 1, created_at: 1 }
        return [{ ...row, name: await promise }]
      },
      after: async () => [],
    }
    const configs = new ModelConfigs(reader, changes, new Map())
    const ids = ['a']
    const name = async () => (await configs.ofScope(ids)).all[0]?.name
    const until = () => new Promise((resolve) => setImmediate(resolve))
    const first = [name(), name()]
    await until()
    t.equal(reads.length, 1)
    changes.noticed([{ kind: 'config', id: 'a' }])
    const second = name()
    changes.noticed([{ kind: 'config', id: 'a' }])
    const third = name()
    await until()
    t.equal(reads.length, 1, 'one after the other, so that the newest is the last to come')
    reads[0]?.('old')
    t.same(await Promise.all(first), ['old', 'old'])
    await until()
    reads[1]?.('new')
    t.same(await Promise.all([second, third]), ['new', 'new'])
    t.equal(reads.length, 2, 'nobody who waits asks on their own')
    t.equal(configs.peek(ids)?.all[0]?.name, 'new')
  },
)
