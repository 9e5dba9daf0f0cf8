/** As many refreshes at once and in a second as a server bears, callers first, and nobody waits for ever. */
import { mock } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { RANKS, type Rank, ServerProbes, type Turn } from '../../src/credential/server-probe.ts'
import type { Renewal } from '../../src/oauth/refresh-token-grant.ts'
import { Dice } from '../support/dice.ts'

const GOOD: Renewal = { kind: 'invalid_grant', why: 'says nothing of the server' }

interface Wish {
  readonly name: string
  rank: Rank
}

/** A server whose turns end when the test says so. */
function serverOf(atOnce: number, perSecond?: number, now?: () => number) {
  const probes = new ServerProbes(now)
  const limits = { name: 's', refresh: { atOnce, perSecond } }
  const running: { name: string; turn: Turn }[] = []
  const begun: string[] = []
  /** Resolves with the turn's name once it has begun, or undefined if it never will. */
  const wish = async (one: Wish) => {
    const turn = await probes.turn(limits, () => one.rank)
    if (!turn) return undefined
    running.push({ name: one.name, turn })
    begun.push(one.name)
    return one.name
  }
  const endOne = async (found: Renewal = GOOD) => {
    running.shift()?.turn.end(found)
    await settled()
  }
  return { probes, wish, endOne, running, begun }
}

/** Everything that can be told by now has been. */
const settled = () => sleep(0)

t.test('first come, first served among those of one rank', async (t) => {
  const { wish, endOne, begun, running } = serverOf(2)
  const names = Array.from({ length: 20 }, (_, index) => `caller-${index}`)
  for (const name of names) void wish({ name, rank: 'caller' })
  await settled()
  while (running.length > 0) {
    t.ok(running.length <= 2)
    await endOne()
  }
  t.same(begun, names)
})

t.test('callers go before tokens that live, and these before what has ended', async (t) => {
  const { wish, endOne, begun, running } = serverOf(1)
  const ranks: Rank[] = ['ended', 'ended', 'living', 'ended', 'living', 'caller', 'living', 'caller']
  for (const [index, rank] of ranks.entries()) void wish({ name: `${rank}-${index}`, rank })
  await settled()
  while (running.length > 0) await endOne()
  const [first, ...others] = begun
  t.equal(first, 'ended-0', 'nobody else was there yet')
  t.same(others, ['caller-5', 'caller-7', 'living-2', 'living-4', 'living-6', 'ended-1', 'ended-3'])
})

t.test('whoever is joined by a caller while it waits goes on as one', async (t) => {
  const { wish, endOne, begun } = serverOf(1)
  const joined: Wish = { name: 'joined', rank: 'ended' }
  for (const one of [{ name: 'first', rank: 'ended' }, { name: 'living', rank: 'living' }, joined] as Wish[])
    void wish(one)
  await settled()
  joined.rank = 'caller'
  await endOne()
  t.same(begun, ['first', 'joined'])
})

t.test('what nobody waits for never takes the last turns', async (t) => {
  const { wish, running } = serverOf(32)
  const many = (rank: Rank) => {
    for (let index = 0; index < 40; index += 1) void wish({ name: rank, rank })
  }
  many('ended')
  await settled()
  t.equal(running.length, 28)
  many('living')
  await settled()
  t.equal(running.length, 30)
  many('caller')
  await settled()
  t.equal(running.length, 32)
})

t.test('one at a time is one at a time, and all get their turn', async (t) => {
  const { wish, endOne, running, begun } = serverOf(1)
  for (const rank of ['ended', 'living', 'caller'] as const) void wish({ name: rank, rank })
  await settled()
  while (running.length > 0) {
    t.equal(running.length, 1)
    await endOne()
  }
  t.equal(begun.length, 3)
})

t.test(
  'whatever comes and goes: never more at once, nobody is left out, no caller is overtaken',
  async (t) => {
    const dice = new Dice(17)
    for (let round = 0; round < 50; round += 1) {
      const atOnce = dice.some(1, 32)
      const { wish, endOne, running, begun } = serverOf(atOnce)
      const all: Wish[] = []
      for (let step = 0; step < 120; step += 1) {
        if (dice.one([true, false])) {
          const rank = dice.one(RANKS)
          const one = { name: `${rank}-${step}`, rank }
          all.push(one)
          void wish(one)
        } else running.splice(dice.some(0, running.length), 1)[0]?.turn.end(GOOD)
        await Promise.resolve()
        if (running.length > atOnce) t.fail(`${running.length} at once, of ${atOnce}`)
      }
      await settled()
      while (running.length > 0) await endOne()
      if (begun.length !== all.length) t.fail(`${begun.length} of ${all.length} got a turn`)
      const callers = (names: string[]) => names.filter((name) => name.startsWith('caller'))
      t.same(callers(begun), callers(all.map(({ name }) => name)))
    }
  },
)

t.test('so many a second, evenly, and no sooner for a caller', async (t) => {
  const { wish, running, endOne } = serverOf(32, 20)
  const alive = setInterval(() => {}, 1_000) // as a broker's listener keeps it
  t.teardown(() => clearInterval(alive))
  const startedAt = performance.now()
  const all = Array.from({ length: 6 }, (_, index) => wish({ name: `${index}`, rank: 'caller' }))
  await settled()
  t.equal(running.length, 1)
  await endOne()
  t.same(await Promise.all(all), ['0', '1', '2', '3', '4', '5'])
  // Timers may be late, and never early.
  t.ok(performance.now() - startedAt >= 5 * 50 - 1)
})

t.test(
  'a server that says how long to stay away is not asked before, unless it made an exception',
  async (t) => {
    let now = 0
    const { probes, wish, endOne } = serverOf(32, undefined, () => now)
    const busy: Renewal = { kind: 'not_processed', why: '429', retryAfterMs: 60_000, isServerAway: true }
    const ask = () => wish({ name: 'x', rank: 'caller' })
    t.ok(await ask())
    await endOne(busy)
    t.equal(probes.isHeld('s'), false, 'one may be about one credential alone')
    t.ok(await ask())
    await endOne(busy)
    t.equal(probes.retryAfterMs('s'), 60_000)
    now = 59_999
    t.equal(await ask(), undefined)
    now = 60_000
    t.ok(await ask())
    await endOne(GOOD)
    t.equal(probes.isHeld('s'), false)
  },
)

t.test('of a burst that is turned down one more looks at once, whatever each was told', async (t) => {
  const { probes, wish, endOne } = serverOf(32)
  const busy: Renewal = { kind: 'not_processed', why: '429', retryAfterMs: 60_000, isServerAway: true }
  await Promise.all([wish({ name: '1', rank: 'living' }), wish({ name: '2', rank: 'living' })])
  await endOne(busy)
  await endOne(busy)
  t.equal(probes.isHeld('s'), false)
})

t.test('who waits in vain is told in time', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { wish } = serverOf(1)
  void wish({ name: 'for ever', rank: 'caller' })
  const told = wish({ name: 'in vain', rank: 'caller' })
  mock.timers.tick(10_000)
  t.equal(await told, undefined)
})
