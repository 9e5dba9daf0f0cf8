import t, { type Test } from 'tap'
import { ApiKeyStore } from '../../src/api-key/api-key-store.ts'
import { ApiKeys } from '../../src/api-key/api-keys.ts'
import { createLog } from '../../src/base/log.ts'
import { ChangeWatcher } from '../../src/storage/changes.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { RowCache } from '../../src/storage/row-cache.ts'
import { onEachDatabase } from '../support/databases.ts'
import { SEALS } from '../support/tables.ts'
import { counting, open } from './fixtures/open.ts'

const log = createLog('silent')

interface Row {
  readonly id: string
  readonly value: number
}

function row(value: number): Row {
  return { id: 'row', value }
}

function openCache(t: Test) {
  const changes = new ChangeWatcher(open(t, { kind: 'SQLite', url: 'sqlite:' }, t.testdir()), log)
  const reads: PromiseWithResolvers<Row>[] = []
  const cache = new RowCache<Row>(changes, 10)
  const load = () =>
    cache.load('key', () => {
      const read = Promise.withResolvers<Row>()
      reads.push(read)
      return read.promise
    })
  return { changes, cache, reads, load }
}

t.test('reads of the same thing at the same time are one', async (t) => {
  const { cache, reads, load } = openCache(t)
  const all = [load(), load(), load()]
  t.equal(reads.length, 1)
  reads[0]?.resolve(row(1))
  t.same(await Promise.all(all), [row(1), row(1), row(1)])
  t.same(cache.get('key'), row(1))
})

t.test('nobody joins a read that began before a change, and what it brings is not kept', async (t) => {
  const { changes, cache, reads, load } = openCache(t)
  const before = load()
  changes.noticed()
  const after = load()
  t.equal(reads.length, 2)
  reads[0]?.resolve(row(1))
  t.same(await before, row(1))
  t.equal(cache.get('key'), undefined)
  const joined = load()
  t.equal(reads.length, 2, 'the end of the old read is not the end of the new one')
  reads[1]?.resolve(row(2))
  t.same([await after, await joined, cache.get('key')], [row(2), row(2), row(2)])
  changes.noticed([{ kind: 'key', id: 'another' }])
  t.same(cache.get('key'), row(2), 'what changed is another row')
  changes.noticed([{ kind: 'key', id: 'row' }])
  t.equal(cache.get('key'), undefined)
})

t.test(
  'it is forgotten when anything may have changed, and when too much has since it was asked for',
  async (t) => {
    const { changes, cache, reads, load } = openCache(t)
    const others = (count: number) =>
      changes.noticed(Array.from({ length: count }, (_, n) => ({ kind: 'key' as const, id: `${n}` })))
    const known = async () => {
      const read = load()
      reads.at(-1)?.resolve(row(1))
      await read
    }
    await known()
    changes.noticed()
    t.equal(cache.get('key'), undefined)
    await known()
    for (let n = 0; n < 5; n += 1) {
      others(9_000)
      t.same(cache.get('key'), row(1), 'asked for in time')
    }
    for (let n = 0; n < 5; n += 1) others(9_000)
    t.equal(cache.get('key'), undefined)
  },
)

t.test('a failure is told to all who wait, and not remembered', async (t) => {
  const { reads, load } = openCache(t)
  const all = [load(), load()]
  reads[0]?.reject(new Error('away'))
  for (const one of all) await t.rejects(one, { message: 'away' })
  const again = load()
  t.equal(reads.length, 2)
  reads[1]?.resolve(row(3))
  t.same(await again, row(3))
})

onEachDatabase(t, 'a hundred calls with one key, right after a change, are one query', async (t, where) => {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const changes = new ChangeWatcher(database, log)
  await changes.look()
  const { counted, queries } = counting(database)
  const { key, record } = await new ApiKeyStore(database, changes, SEALS).create({ name: 'busy' })
  const apiKeys = new ApiKeys(new ApiKeyStore(counted, changes, SEALS), changes)
  const found = await Promise.all(Array.from({ length: 100 }, () => apiKeys.authenticate(key)))
  t.equal(queries(), 1)
  t.ok(found.every(({ id }) => id === record.id))
})
