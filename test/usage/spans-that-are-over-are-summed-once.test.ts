/** `UsageStore.sum`, in statements that hold nothing up. */
import t, { type Test } from 'tap'
import { migrate } from '../../src/storage/migrate.ts'
import { SummedSpans } from '../../src/usage/summed-spans.ts'
import { type UsageQuestion, UsageStore } from '../../src/usage/usage-store.ts'
import { open } from '../storage/fixtures/open.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { Dice } from '../support/dice.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const FIRST = 500_000 * HOUR
const HOURS = 30
/** In the last of them. */
const NOW = FIRST + (HOURS - 1) * HOUR + 30 * MINUTE

const dice = new Dice(Date.now())

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
  const spans = new SummedSpans(counted, () => time.now)
  return { store, time, spans, reads: () => asked.splice(0) }
}

onEachDatabase(
  t,
  'the sums are those of one question, and the next ask for what goes on alone',
  async (t, where) => {
    const { store, time, spans, reads } = await setUp(t, where)
    const isSame = async (question: UsageQuestion) =>
      t.same(await spans.sum(question), await store.sum(question))
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
  const { store, time, spans } = await setUp(t, where)
  await spans.sum(lastDay(NOW))
  await store.add([row(HOURS - 4, 'late')])
  t.not(JSON.stringify(await spans.sum(lastDay(NOW))), JSON.stringify(await store.sum(lastDay(NOW))))
  time.now = NOW + 10 * MINUTE
  t.same(await spans.sum(lastDay(time.now)), await store.sum(lastDay(time.now)))
})

onEachDatabase(
  t,
  'every question has the answer of one statement, from an hour or a day a statement',
  async (t, where) => {
    const { store, spans, reads } = await setUp(t, where)
    const DAY = 24 * HOUR
    const far = Array.from({ length: 90 }, (_, n) => [row(-24 * n, 'a'), row(-24 * n - 7, 'c')]).flat()
    await store.add(
      far.map((one, n) => ({ ...one, requests: n, key_id: `k${n % 4}`, config_id: `c${n % 3}` })),
    )
    const to = NOW + 1
    const times: [from: number, statements: number][] = [
      [to - 30 * HOUR, 31],
      [to - 7 * DAY, 8],
      [to - 7.3 * DAY, 9],
      [to - 30 * DAY, 31],
      [to - 90 * DAY, 46],
      [0, 63],
    ]
    const groups = ['key', 'config', 'model', 'day', 'hour'] as const
    for (const [from, statements] of times) {
      for (const groupBy of groups) {
        const per = dice.one([undefined, 'hour', 'day'] as const)
        const question = { ...ALL, from, to, groupBy, per, offsetMs: dice.one([0, 8 * HOUR, 5.5 * HOUR]) }
        const asked = dice.one([question, { ...question, configIds: ['c1', 'c'] }])
        t.same(await spans.sum(asked), await store.sum(asked), JSON.stringify(asked))
        const { length } = reads()
        t.ok(length <= statements, `${length} statements`)
      }
    }
  },
)

onEachDatabase(t, 'names are asked for again, and so is what is long', async (t, where) => {
  const { store, spans, reads } = await setUp(t, where)
  const many = Array.from({ length: 501 }, (_, n) => row(3, `m${n}`))
  await store.add(many.slice(0, 300))
  await store.add(many.slice(300))
  const again = async (question: UsageQuestion) => {
    await spans.sum(question)
    reads()
    await spans.sum(question)
    return reads()
  }
  const day = { ...ALL, from: FIRST, to: FIRST + 10 * HOUR }
  t.same(await again(day), [])
  t.same(await again({ ...day, groupBy: 'model' }), [3])
  t.equal((await again({ ...day, groupBy: 'key' })).length, 10)
})
