import t, { type Test } from 'tap'
import { migrate } from '../../src/storage/migrate.ts'
import { SummedHours } from '../../src/usage/summed-hours.ts'
import { type UsageQuestion, UsageStore } from '../../src/usage/usage-store.ts'
import { open } from '../storage/fixtures/open.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const FIRST = 500_000 * HOUR
const HOURS = 30
/** In the last of them. */
const NOW = FIRST + (HOURS - 1) * HOUR + 30 * MINUTE

const ALL = { groupBy: 'hour', per: undefined, configIds: undefined, offsetMs: 0 } as const
const lastDay = (now: number): UsageQuestion => ({
  ...ALL,
  from: Math.floor(now / HOUR) * HOUR - 23 * HOUR,
  to: now + 1,
})

function row(n: number, model: string) {
  const counts = { requests: n, errors: n % 3, prompt_tokens: 2 * n, completion_tokens: 3 * n }
  return { hour: FIRST + n * HOUR, key_id: 'k', config_id: 'c', model, ...counts }
}

/** Two models in each hour but for every fifth. */
async function setUp(t: Test, where: TestDatabase) {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const store = new UsageStore(database)
  const numbers = Array.from({ length: HOURS }, (_, n) => n).filter((n) => n % 5 !== 0)
  await store.add(numbers.flatMap((n) => [row(n, 'a'), row(n, 'b')]))
  const time = { now: NOW }
  const asked: number[] = []
  const counted: Pick<UsageStore, 'sum'> = {
    sum: (question) => {
      asked.push((question.from - FIRST) / HOUR)
      return store.sum(question)
    },
  }
  const hours = new SummedHours(counted, () => time.now)
  return { store, time, hours, reads: () => asked.splice(0) }
}

onEachDatabase(
  t,
  'the sums are those of one question, and the next ask for what goes on alone',
  async (t, where) => {
    const { store, time, hours, reads } = await setUp(t, where)
    const isSame = async (question: UsageQuestion) =>
      t.same(await hours.sum(question), await store.sum(question))
    await isSame(lastDay(NOW))
    t.equal(reads().length, 24)
    await isSame(lastDay(NOW))
    t.same(reads(), [HOURS - 1], 'the present hour')
    await store.add([row(HOURS - 1, 'c')])
    await isSame(lastDay(NOW))
    t.same(reads(), [HOURS - 1])

    time.now = FIRST + HOURS * HOUR
    await isSame(lastDay(time.now))
    t.same(
      reads().slice(-2),
      [HOURS - 1, HOURS],
      'what was counted in an hour may be stored a moment after its end',
    )
    time.now += 2 * MINUTE
    await isSame(lastDay(time.now))
    await isSame({ ...lastDay(time.now), offsetMs: 8 * HOUR })
    reads()
    await isSame(lastDay(time.now))
    t.same(reads(), [HOURS])
  },
)

onEachDatabase(t, 'what is stored late is in the sums some minutes later', async (t, where) => {
  const { store, time, hours } = await setUp(t, where)
  await hours.sum(lastDay(NOW))
  await store.add([row(HOURS - 4, 'late')])
  t.not(JSON.stringify(await hours.sum(lastDay(NOW))), JSON.stringify(await store.sum(lastDay(NOW))))
  time.now = NOW + 10 * MINUTE
  t.same(await hours.sum(lastDay(time.now)), await store.sum(lastDay(time.now)))
})

onEachDatabase(t, 'other questions are asked as they are', async (t, where) => {
  const { store, hours, reads } = await setUp(t, where)
  const day = lastDay(NOW)
  const others: UsageQuestion[] = [
    { ...day, groupBy: 'model' },
    { ...day, groupBy: 'day' },
    { ...day, configIds: ['c'] },
    { ...day, per: 'hour', groupBy: 'config' },
    { ...day, offsetMs: 5.5 * HOUR },
    { ...day, from: day.to - 60 * HOUR },
  ]
  for (const question of others) {
    t.same(await hours.sum(question), await store.sum(question))
    t.equal(reads().length, 1, JSON.stringify(question))
  }
})
