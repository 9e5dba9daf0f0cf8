import t, { type Test } from 'tap'
import { ApiKeys } from '../../src/api-key/api-keys.ts'
import { createLog } from '../../src/base/log.ts'
import { ChangeWatcher } from '../../src/storage/changes.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { RowCache } from '../../src/storage/row-cache.ts'
import { onEachDatabase } from '../support/databases.ts'
import { counting, open } from './fixtures/open.ts'

const log = createLog('silent')

function openCache(t: Test) {
  const changes = new ChangeWatcher(open(t, { kind: 'SQLite', url: 'sqlite:' }, t.testdir()), log)
  const reads: PromiseWithResolvers<{ value: number }>[] = []
  const cache = new RowCache<{ value: number }>(changes, 10)
  const load = () =>
    cache.load('id', () => {
      const read = Promise.withResolvers<{ value: number }>()
      reads.push(read)
      return read.promise
    })
  return { changes, cache, reads, load }
}

t.test('reads of the same thing at the same time are one', async (t) => {
  const { cache, reads, load } = openCache(t)
  const all = [load(), load(), load()]
  t.equal(reads.length, 1)
  reads[0]?.resolve({ value: 1 })
  t.same(await Promise.all(all), [{ value: 1 }, { value: 1 }, { value: 1 }])
  t.same(cache.get('id'), { value: 1 })
})

t.test('nobody joins a read that began before a change, and what it brings is not kept', async (t) => {
  const { changes, cache, reads, load } = openCache(t)
  const before = load()
  changes.noticed()
  const after = load()
  t.equal(reads.length, 2)
  reads[0]?.resolve({ value: 1 })
  t.same(await before, { value: 1 })
  t.equal(cache.get('id'), undefined)
  const joined = load()
  t.equal(reads.length, 2, 'the end of the old read is not the end of the new one')
  reads[1]?.resolve({ value: 2 })
  t.same([await after, await joined, cache.get('id')], [{ value: 2 }, { value: 2 }, { value: 2 }])
  changes.noticed()
  t.equal(cache.get('id'), undefined)
})

t.test('a failure is told to all who wait, and not remembered', async (t) => {
  const { reads, load } = openCache(t)
  const all = [load(), load()]
  reads[0]?.reject(new Error('away'))
  for (const one of all) await t.rejects(one, { message: 'away' })
  const again = load()
  t.equal(reads.length, 2)
  reads[1]?.resolve({ value: 3 })
  t.same(await again, { value: 3 })
})

onEachDatabase(t, 'a hundred calls with one key, right after a change, are one query', async (t, where) => {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const changes = new ChangeWatcher(database, log)
  await changes.look()
  const { counted, queries } = counting(database)
  const { key, record } = await new ApiKeys(database, changes).create({ name: 'busy' })
  const apiKeys = new ApiKeys(counted, changes)
  const found = await Promise.all(Array.from({ length: 100 }, () => apiKeys.authenticate(key)))
  t.equal(queries(), 1)
  t.ok(found.every(({ id }) => id === record.id))
})
