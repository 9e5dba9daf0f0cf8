/** The first to make an id keeps it, on every replica, for as long as is set; then it goes, some at a time. */
import t from 'tap'
import { createLog } from '../../src/base/log.ts'
import { Secret } from '../../src/base/secret.ts'
import { HomeStore } from '../../src/gateway/home-store.ts'
import { Homes } from '../../src/gateway/homes.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { inBatches } from '../../src/storage/in-batches.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { onEachDatabase } from '../support/databases.ts'

const DAY = 86_400_000

class CountingStore extends HomeStore {
  writes = 0

  override add(rows: Parameters<HomeStore['add']>[0]): Promise<number> {
    this.writes += 1
    return super.add(rows)
  }
}

onEachDatabase(t, 'first come, and for so many days', async (t, { kind, url }) => {
  const database = openDatabase({
    dataDir: t.testdir(),
    mysqlUrl: kind === 'MySQL' ? new Secret(url) : undefined,
  })
  t.teardown(() => database.close())
  await migrate(database)
  const store = new CountingStore(database)
  let now = 1_000
  const replica = () =>
    new Homes({
      store,
      database,
      clock: () => now,
      log: createLog('silent', { write: () => {} }),
      config: { resourceHomeDays: 2 },
    })
  const [one, other] = [replica(), replica()]
  await Promise.all(Array.from({ length: 1_200 }, (_, n) => one.note('key', `id_${n}`, `config-${n % 3}`)))
  const { writes } = store
  await one.note('key', 'id_7', 'config-1')
  t.equal(store.writes, writes, 'what is known is not written again')
  await other.note('key', 'id_7', 'config-2')
  for (const homes of [one, other, replica()]) {
    t.same(await homes.find('key', ['id_7']), ['config-1'], 'whoever came later has not taken it')
    t.same(await homes.find('key', ['id_0', 'id_3', 'id_nobodys', 'id_1']), ['config-0', 'config-1'])
    t.same(await homes.find('another', ['id_7']), [])
  }
  now += DAY
  await one.note('key', 'id_later', 'config-0')
  now += DAY
  for (const homes of [one, replica()]) {
    t.same(await homes.find('key', ['id_7']), [], 'its time is over')
    t.same(await homes.find('key', ['id_later']), ['config-0'])
  }
  const counts: number[] = []
  await inBatches(async (limit) => {
    counts.push(await store.deleteSomeExpired(now, limit))
    return counts.at(-1) ?? 0
  })
  t.same(counts, [1_000, 200])
  t.same(
    (await database.run((db) => db.selectFrom('resource_homes').select('config_id').execute())).length,
    1,
  )
})
