/** What ended processes left is not copied where most of it is worth keeping, and nothing is lost by whoever has it. */
import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { HOUR, MINUTE } from '../../src/base/clock.ts'
import { Secret } from '../../src/base/secret.ts'
import { Journal } from '../../src/credential/journal.ts'
import { generateFernetKey } from '../../src/vault/fernet.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { Dice } from '../support/dice.ts'

const CREDENTIALS = 500
const ring = new KeyRing([new Secret(generateFernetKey())])

function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-journal-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const filesOf = (dir: string) => readdirSync(join(dir, 'journal')).map((file) => join(dir, 'journal', file))
const inodes = (dir: string) => filesOf(dir).map((file) => statSync(file).ino)
const leftIn = (dir: string) => filesOf(dir).filter((file) => file.endsWith('.left.journal'))
const bytes = (dir: string) => filesOf(dir).reduce((sum, file) => sum + statSync(file).size, 0)

/** Of version `version`, told apart by it: about 3 kB. */
function keep(journal: Journal, config: number, version = 1): string {
  const attemptId = `${config}@${version}`
  const tokens = {
    accessToken: `access-${attemptId}`.padEnd(2_000, '.'),
    refreshToken: `refresh-${attemptId}`,
    tokenType: 'Bearer',
    scope: undefined,
    expiresAt: 1,
    receivedAt: 0,
    metadata: {},
  }
  journal.keep({
    attemptId,
    configId: `${config}`,
    loginAt: 0,
    fromVersion: version - 1,
    tokens,
    at: version,
  })
  return attemptId
}

/** One file of a process that ended; the first ten of its answers are stored nowhere. */
async function leave(dir: string): Promise<void> {
  const journal = new Journal(dir, ring)
  for (let config = 0; config < CREDENTIALS; config += 1) {
    const attemptId = keep(journal, config)
    if (config >= 10) journal.done(attemptId)
    if (config % 50 === 0) await turns(5)
  }
  journal.close()
}

async function turns(count: number): Promise<void> {
  for (let turned = 0; turned < count; turned += 1) await turn()
}

/** As a process that has just started finds it. */
function found(dir: string) {
  const journal = new Journal(dir, ring)
  const last = Array.from({ length: CREDENTIALS }, (_, config) => journal.last(`${config}`)?.attemptId)
  return { last, pending: journal.pending().map(({ attemptId }) => attemptId) }
}

t.test('it has another name then, is shown to be alive, and is left again', async (t) => {
  const dir = folder(t)
  await leave(dir)
  const [expected, [large]] = [found(dir), inodes(dir)]
  for (let process = 0; process < 3; process += 1) {
    const next = new Journal(dir, ring)
    next.tend()
    t.ok(inodes(dir).includes(large ?? 0), 'the same file')
    t.same(leftIn(dir), [])
    const long = new Date(Date.now() - 2 * HOUR)
    for (const file of filesOf(dir)) utimesSync(file, long, long)
    next.tend()
    t.ok(filesOf(dir).every((file) => Date.now() - statSync(file).mtimeMs < MINUTE))
    t.equal(next.last('7')?.attemptId, '7@1')
    t.same(found(dir), expected, 'also for others, and if this one is killed now')
    next.close()
    t.same(leftIn(dir), filesOf(dir))
  }
  t.same(found(dir), expected)
})

t.test('of processes that start at once one has it', async (t) => {
  const dir = folder(t)
  await leave(dir)
  const expected = found(dir)
  const all = [new Journal(dir, ring), new Journal(dir, ring), new Journal(dir, ring)]
  for (const journal of all) journal.standings()
  for (const journal of all) journal.tend()
  t.equal(filesOf(dir).length, 1)
  t.same(found(dir), expected)
  for (const journal of all) journal.close()
  t.same(found(dir), expected)
})

t.test('once half of it is outdated the rest is copied', async (t) => {
  const dir = folder(t)
  await leave(dir)
  const [adopted] = inodes(dir)
  const next = new Journal(dir, ring)
  for (let config = 10; config < CREDENTIALS; config += 1) {
    next.begin(`${config}@2`)
    next.done(keep(next, config, 2))
    if (config % 100 === 0) next.tend()
    await turn()
  }
  next.tend()
  await turns(100)
  t.notOk(inodes(dir).includes(adopted ?? 0))
  const { last, pending } = found(dir)
  t.same(
    last,
    Array.from({ length: CREDENTIALS }, (_, config) => `${config}@${config < 10 ? 1 : 2}`),
  )
  t.equal(pending.length, 10)
})

/** What processes of one folder do, in any order, against what must be found there: every last answer, and what is pending. */
t.test('whatever processes begin, end, are killed, tend and write, every last answer is found', async (t) => {
  const seed = Math.floor(Math.random() * 1e9)
  const dice = new Dice(seed)
  const dir = folder(t)
  const running: Journal[] = [new Journal(dir, ring)]
  const [versions, pending] = [new Map<number, number>(), new Set<string>()]
  const anyone = () => dice.one(running)
  const write = () => {
    const journal = anyone()
    for (let count = dice.some(1, 300); count > 0; count -= 1) {
      const config = dice.some(0, CREDENTIALS - 1)
      const version = (versions.get(config) ?? 0) + 1
      versions.set(config, version)
      journal.begin(`${config}@${version}`)
      const attemptId = keep(journal, config, version)
      if (dice.some(0, 99) > 0) journal.done(attemptId)
      else pending.add(attemptId)
    }
  }
  const end = (isKilled: boolean) => {
    const [journal] = running.splice(dice.some(0, running.length - 1), 1)
    if (isKilled) for (const file of filesOf(dir)) if (!dice.some(0, 2)) utimesSync(file, 0, 0)
    if (!isKilled) journal?.close()
    if (running.length === 0) running.push(new Journal(dir, ring))
  }
  const steps = {
    write,
    again: write,
    begin: () => running.length < 3 && running.push(new Journal(dir, ring)),
    end: () => end(false),
    killed: () => end(true),
    tend: () => anyone().tend(),
    wait: () => turns(dice.some(1, 20)),
  }
  write()
  for (let step = 0; step < 120; step += 1) {
    await dice.one(Object.values(steps))()
    if (step % 10 > 0) continue
    const { last, pending: open } = found(dir)
    const wanted = Array.from({ length: CREDENTIALS }, (_, config) => {
      const version = versions.get(config)
      return version && `${config}@${version}`
    })
    if (!t.same(last, wanted, `seed ${seed}, step ${step}`)) return
    if (
      !t.ok(
        [...pending].every((attemptId) => open.includes(attemptId)),
        `seed ${seed}`,
      )
    )
      return
  }
  t.ok(bytes(dir) < 16 * 1024 * 1024, `${bytes(dir)} bytes, seed ${seed}`)
})
