/**
 * Whatever happens in whatever order, on up to three processes: the refresh machine does not spend a refresh
 * token twice (invariant I1), loses no answer it read (I2), and its versions only rise (I4).
 */
import {
  type Arbitrary,
  array,
  assert,
  boolean,
  constant,
  constantFrom,
  integer,
  oneof,
  property,
  record,
} from 'fast-check'
import t from 'tap'
import { isOlder, type Standing } from '../../src/credential/credential.ts'
import { type Mishap, type Move, RefreshWorld, type ServerMood } from './fixtures/refresh-world.ts'

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 3_000)

const who = integer({ min: 0, max: 2 })
const database = constantFrom<Mishap>('none', 'none', 'none', 'none', 'none', 'lost before', 'lost after')
const server = constantFrom<ServerMood>('good', 'good', 'good', 'busy', 'silent before', 'silent after')
const step = record({ do: constant('step' as const), who, database, server })
const move: Arbitrary<Move> = oneof(
  { weight: 80, arbitrary: step },
  { weight: 30, arbitrary: record({ do: constant('start' as const), who, isForced: boolean() }) },
  { weight: 8, arbitrary: record({ do: constant('wait' as const), ms: integer({ min: 1, max: 60 }) }) },
  { weight: 5, arbitrary: record({ do: constant('crash' as const), who }) },
  { weight: 2, arbitrary: record({ do: constant('disk' as const), who, isFull: boolean() }) },
  {
    weight: 3,
    arbitrary: record({ do: constant('go back' as const), writes: integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: constant<Move>({ do: 'log in' }) },
)
const moves = array(move, { minLength: 80, maxLength: 240, size: 'max' })

function play(list: readonly Move[], check: (world: RefreshWorld) => void): RefreshWorld {
  const world = new RefreshWorld()
  for (const one of list) {
    world.make(one)
    check(world)
  }
  return world
}

t.test('a version is sent at most once while its row is not uncertain', async (t) => {
  let sends = 0
  assert(
    property(moves, (list) => {
      const world = play(list, () => {})
      sends += world.sends.length
      const certain = world.sends.filter((send) => send.wasProcessed && send.rowState !== 'uncertain')
      const versions = certain.map(({ loginAt, version }) => `${loginAt} ${version}`)
      return new Set(versions).size === versions.length
    }),
    { numRuns: RUNS },
  )
  t.ok(sends > RUNS, `${sends} sends in ${RUNS} runs`)
})

t.test('the server sees a refresh token twice only where the first answer was lost', async (t) => {
  let reuses = 0
  assert(
    property(moves, (list) => {
      const world = play(list, () => {})
      reuses += world.reuses.length
      return world.reuses.every((send) => send.rowState === 'uncertain')
    }),
    { numRuns: RUNS },
  )
  t.ok(reuses > 0, `${reuses} last tries of spent tokens, the worst case`)
})

t.test('an answer that was read is in the row in the end, or something newer is', async (t) => {
  let [kept, timesBack] = [0, 0]
  assert(
    property(moves, (list) => {
      const world = play(list, () => {})
      kept += world.kept.length
      timesBack += world.timesBack
      world.settle()
      return world.kept.every((answer) => !isOlder(world.row, answer))
    }),
    { numRuns: RUNS },
  )
  t.ok(kept > RUNS / 10, `${kept} answers kept`)
  t.ok(timesBack > RUNS / 10, `the database went back ${timesBack} times`)
})

t.test('versions only rise, but where the database itself goes back', async (t) => {
  assert(
    property(moves, (list) => {
      let [last, timesBack]: [Standing, number] = [{ loginAt: 0, version: 0 }, 0]
      play(list, ({ row, timesBack: times }) => {
        if (times === timesBack && isOlder(row, last)) throw new Error(`${last.version} → ${row.version}`)
        last = row
        timesBack = times
      })
    }),
    { numRuns: RUNS },
  )
  t.pass('in every run')
})
