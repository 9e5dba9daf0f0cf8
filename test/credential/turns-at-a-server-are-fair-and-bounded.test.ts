/** As many refreshes at once and in a second as a server bears, callers first, and nobody waits for ever. */
import { mock } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Asked, RANKS, type Rank, ServerProbes, type Turn } from '../../src/credential/server-probe.ts'
import type { Renewal } from '../../src/oauth/refresh-token-grant.ts'
import { Dice } from '../support/dice.ts'

const GOOD: Renewal = { kind: 'invalid_grant', why: 'says nothing of the server' }

interface Wish {
  readonly name: string
  rank: Rank
}

/** A provider file of one server, whatever else is in it. */
function file(name: string, limits: { atOnce: number; perSecond?: number | undefined }, port = 443) {
  const authorizationServer = { tokenEndpoint: `https://s.example:${port}/${name}/token` }
  const refresh = { perSecond: undefined, ...limits }
  return { name, refresh, authorizationServer, webSession: undefined } as unknown as Asked
}

/** A server whose turns end when the test says so. */
function serverOf(atOnce: number, perSecond?: number, now?: () => number) {
  const probes = new ServerProbes([], now)
  const running: { name: string; turn: Turn }[] = []
  const begun: string[] = []
  /** Resolves with the turn's name once it has begun, or undefined if it never will. */
  const wish = async (one: Wish, name = 's') => {
    const turn = await probes.turn(file(name, { atOnce, perSecond }), () => one.rank)
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

t.test('two provider files of one server have their turns together, first come, first served', async (t) => {
  const { wish, endOne, running, begun } = serverOf(2)
  for (let index = 0; index < 6; index += 1)
    void wish({ name: `${index}`, rank: 'caller' }, index % 2 ? 'one' : 'other')
  await settled()
  while (running.length > 0) {
    t.ok(running.length <= 2)
    await endOne()
  }
  t.same(begun, ['0', '1', '2', '3', '4', '5'])
})

t.test('the least that any file of a server says counts for all, from the start on', async (t) => {
  const files = [file('one', { atOnce: 8 }), file('two', { atOnce: 3 }), file('other', { atOnce: 1 }, 8443)]
  const probes = new ServerProbes(files)
  const late = file('late', { atOnce: 2 })
  let begun = 0
  const wish = async (asked: Asked) => {
    await probes.turn(asked, () => 'caller')
    begun += 1
  }
  for (let index = 0; index < 5; index += 1) void wish(files[0] as Asked)
  await settled()
  t.equal(begun, 3)
  void wish(late)
  await settled()
  t.equal(begun, 3)
  for (let index = 0; index < 2; index += 1) void wish(files[2] as Asked)
  await settled()
  t.equal(begun, 4, 'another port is another server')
})

t.test('a file that says how many a second says it for all of its server', async (t) => {
  const probes = new ServerProbes([file('slow', { atOnce: 32, perSecond: 2 })], () => 0)
  const asked = file('fast', { atOnce: 32 })
  let begun = 0
  for (let index = 0; index < 3; index += 1)
    void probes
      .turn(asked, () => 'caller')
      .then(() => {
        begun += 1
      })
  await settled()
  t.equal(begun, 1)
})

t.test('a file whose client is refused leaves the others of its server their turns', async (t) => {
  const { probes, wish, endOne, running } = serverOf(1)
  const refused: Renewal = {
    kind: 'not_processed',
    why: 'invalid_client',
    retryAfterMs: 0,
    isServerAway: true,
  }
  for (let tries = 0; tries < 2; tries += 1) {
    await wish({ name: 'refused', rank: 'caller' }, 'refused')
    await endOne(refused)
  }
  t.equal(probes.isHeld(file('refused', { atOnce: 1 })), true)
  t.equal(probes.isHeld(file('s', { atOnce: 1 })), false)
  t.equal(await wish({ name: 'x', rank: 'caller' }, 'refused'), undefined)
  t.equal(await wish({ name: 'healthy', rank: 'ended' }), 'healthy')
  t.equal(running.length, 1)
})

t.test('a probe waits for a turn as everybody does, and is not told that it waits in vain', async (t) => {
  let now = 0
  const { wish, endOne, begun, running } = serverOf(1, undefined, () => now)
  const refused: Renewal = { kind: 'not_processed', why: '429', retryAfterMs: 0, isServerAway: true }
  for (let tries = 0; tries < 2; tries += 1) {
    await wish({ name: 'first', rank: 'caller' }, 'away')
    await endOne(refused)
  }
  await wish({ name: 'healthy', rank: 'caller' })
  now = 5_000
  const probe = wish({ name: 'probe', rank: 'caller' }, 'away')
  await settled()
  t.equal(running.length, 1, 'no more at once than it bears')
  await endOne()
  t.equal(await probe, 'probe')
  t.same(begun, ['first', 'first', 'healthy', 'probe'])
})

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
    t.equal(probes.isHeld(file('s', { atOnce: 1 })), false, 'one may be about one credential alone')
    t.ok(await ask())
    await endOne(busy)
    t.equal(probes.retryAfterMs(file('s', { atOnce: 1 })), 60_000)
    now = 59_999
    t.equal(await ask(), undefined)
    now = 60_000
    t.ok(await ask())
    await endOne(GOOD)
    t.equal(probes.isHeld(file('s', { atOnce: 1 })), false)
  },
)

t.test('of a burst that is turned down one more looks at once, whatever each was told', async (t) => {
  const { probes, wish, endOne } = serverOf(32)
  const busy: Renewal = { kind: 'not_processed', why: '429', retryAfterMs: 60_000, isServerAway: true }
  await Promise.all([wish({ name: '1', rank: 'living' }), wish({ name: '2', rank: 'living' })])
  await endOne(busy)
  await endOne(busy)
  t.equal(probes.isHeld(file('s', { atOnce: 1 })), false)
})

t.test('who would wait in vain is told so at once, and when to come back', async (t) => {
  let now = 0
  const { probes, wish, endOne, begun } = serverOf(2, undefined, () => now)
  const caller = (name: string) => wish({ name, rank: 'caller' })
  const end = async () => {
    now += 500
    await endOne()
  }
  for (let index = 0; index < 35; index += 1) void caller(`${index}`)
  await settled()
  t.same(begun, ['0', '1'], 'nobody can tell yet, so nobody is turned away')
  for (let index = 0; index < 4; index += 1) await end()
  // Half a second each, and 29 wait.
  t.equal(probes.retryAfterMs(file('s', { atOnce: 2 })), 29 * 375)
  void wish({ name: 'background', rank: 'ended' })
  for (let index = 0; index < 12; index += 1) void caller(`late-${index}`)
  await settled()
  t.equal(probes.retryAfterMs(file('s', { atOnce: 2 })), 41 * 375)
  t.equal(await caller('in vain'), undefined)
  for (let index = 0; index < 60; index += 1) await end()
  t.equal(begun.length, 35 + 12 + 1, 'all others have had their turn')
  t.equal(await caller('later'), 'later')
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
