import t from 'tap'
import { createLog } from '../../src/base/log.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { Usage } from '../../src/usage/usage.ts'
import { UsageStore } from '../../src/usage/usage-store.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'

const HOUR_MS = 3_600_000
const use = {
  keyId: 'k',
  configId: 'c',
  model: 'm',
  isError: false,
  tokenCounts: { prompt: 2, completion: 3 },
}

onEachDatabase(
  t,
  'what cannot be stored now is stored later, once, in the hour it happened',
  async (t, where) => {
    const database = openTables(t, { dataDir: t.testdir() }, where)
    let now = 10 * HOUR_MS
    const store = new UsageStore(database)
    const usage = new Usage(store, () => now, createLog('silent'))
    usage.count(use)
    await usage.flush() // there is no table yet
    usage.count({ ...use, isError: true })
    now += HOUR_MS
    usage.count(use)
    await migrate(database)
    await Promise.all([usage.flush(), usage.flush()])
    await usage.stop()

    const question = {
      from: 0,
      to: 20 * HOUR_MS,
      groupBy: 'hour',
      per: undefined,
      configIds: undefined,
      offsetMs: 0,
    } as const
    const counts = (await store.sum(question)).map((sum) => [
      sum.group,
      sum.requests,
      sum.errors,
      sum.promptTokens,
    ])
    t.same(counts, [
      [10 * HOUR_MS, 2, 1, 4],
      [11 * HOUR_MS, 1, 0, 2],
    ])
  },
)

onEachDatabase(t, 'two replicas that write the same rows at once lose nothing', async (t, where) => {
  const dataDir = t.testdir()
  const one = openTables(t, { dataDir }, where)
  // Two SQLite connections in one process would wait for each other with the process asleep.
  const other = where.kind === 'SQLite' ? one : openTables(t, { dataDir }, where)
  await migrate(one)
  const replicas = [one, other].map(
    (database) => new Usage(new UsageStore(database), () => HOUR_MS, createLog('silent')),
  )
  for (let round = 0; round < 20; round += 1) {
    for (const usage of replicas) for (const model of ['a', 'b', 'c']) usage.count({ ...use, model })
    await Promise.all(replicas.map((usage) => usage.flush()))
  }
  await Promise.all(replicas.map((usage) => usage.stop()))
  const question = {
    from: 0,
    to: 2 * HOUR_MS,
    groupBy: 'model',
    per: undefined,
    configIds: undefined,
    offsetMs: 0,
  } as const
  const sums = await new UsageStore(one).sum(question)
  t.same(
    sums.map((sum) => [sum.group, sum.requests]),
    [
      ['a', 40],
      ['b', 40],
      ['c', 40],
    ],
  )
})
