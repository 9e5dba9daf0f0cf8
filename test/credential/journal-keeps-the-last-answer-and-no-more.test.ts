/**
 * The journal keeps the last answer of every credential for as long as there is one, in bounded space, and a
 * broker that asks whether it could be written writes nothing.
 */
import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Secret } from '../../src/base/secret.ts'
import { Journal } from '../../src/credential/journal.ts'
import type { JournalEntry } from '../../src/credential/journal-reader.ts'
import { generateFernetKey } from '../../src/vault/fernet.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { call, startBroker } from '../support/broker.ts'
import { onMysql } from '../support/databases.ts'

const oldKey = new Secret(generateFernetKey())
const newKey = new Secret(generateFernetKey())
const ring = new KeyRing([oldKey])

function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-journal-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

function entry(attemptId: string, fields: Partial<JournalEntry> = {}): JournalEntry {
  return {
    attemptId,
    configId: 'config',
    loginAt: 0,
    fromVersion: 1,
    tokens: {
      accessToken: `access-${attemptId}`,
      refreshToken: `refresh-${attemptId}`,
      tokenType: 'Bearer',
      scope: undefined,
      expiresAt: 1,
      receivedAt: 0,
      metadata: { padding: 'x'.repeat(200) },
    },
    at: Date.now(),
    ...fields,
  }
}

const files = (dir: string) => readdirSync(join(dir, 'journal'))
const size = (dir: string) =>
  files(dir).reduce((sum, file) => sum + statSync(join(dir, 'journal', file)).size, 0)
const last = (journal: Journal, configId = 'config') => journal.last(configId)?.attemptId

t.test('the last answer outlives its being stored, and its process', async (t) => {
  const dir = folder(t)
  const journal = new Journal(dir, ring)
  for (let version = 1; version <= 3; version += 1) {
    journal.keep(entry(`a${version}`, { fromVersion: version }))
    journal.done(`a${version}`)
  }
  t.same([journal.pending(), last(journal)], [[], 'a3'])
  journal.close()
  const next = new Journal(dir, ring)
  t.same([next.pending(), last(next)], [[], 'a3'])
  t.equal(next.last('config')?.tokens.refreshToken, 'refresh-a3')
})

t.test('the newest is the one of the newest login, then of the highest version', async (t) => {
  const dir = folder(t)
  const [mine, others] = [new Journal(dir, ring), new Journal(dir, ring)]
  others.keep(entry('old-login', { loginAt: 1, fromVersion: 9 }))
  mine.keep(entry('new-login', { loginAt: 2, fromVersion: 1 }))
  others.keep(entry('old-login-again', { loginAt: 1, fromVersion: 10 }))
  t.equal(last(mine), 'new-login')
  t.equal(last(others), 'new-login')
  t.equal(last(new Journal(dir, ring)), 'new-login')
})

t.test('lines of brokers that knew no time of a login count as the oldest', async (t) => {
  const dir = folder(t)
  const { loginAt: _, ...older } = entry('older', { fromVersion: 5 })
  mkdirSync(join(dir, 'journal'), { recursive: true })
  writeFileSync(
    join(dir, 'journal', 'x.journal'),
    `${ring.seal(JSON.stringify({ kind: 'kept', ...older }))}\n`,
  )
  const journal = new Journal(dir, ring)
  t.match(journal.pending(), [{ attemptId: 'older', loginAt: 0 }])
  journal.keep(entry('newer', { loginAt: 7, fromVersion: 1 }))
  t.equal(last(journal), 'newer')
})

t.test('it is bounded although something is open all the time, and loses nothing', async (t) => {
  const dir = folder(t)
  const journal = new Journal(dir, ring)
  journal.keep(entry('open', { configId: 'open' }))
  let largest = 0
  for (let i = 0; i < 3_000; i += 1) {
    const configId = `config-${i % 500}`
    journal.begin(`a${i}`)
    journal.keep(entry(`a${i}`, { configId, fromVersion: i }))
    journal.done(`a${i}`)
    if (i % 100 === 0) await turn()
    largest = Math.max(largest, size(dir))
  }
  t.ok(largest < 4 * 1024 * 1024, `${largest} bytes of the ${3_000 * 1_200} that were written`)
  for (const one of [journal, new Journal(dir, ring)]) {
    t.same(
      one.pending().map(({ attemptId }) => attemptId),
      ['open'],
    )
    for (let i = 0; i < 500; i += 1) t.equal(last(one, `config-${i}`), `a${2_500 + i}`)
  }
})

t.test('a reader of the same folder misses nothing while others start anew', async (t) => {
  const dir = folder(t)
  const [writer, reader] = [new Journal(dir, ring), new Journal(dir, ring)]
  for (let i = 0; i < 3_000; i += 1) {
    writer.keep(entry(`a${i}`, { configId: `config-${i % 400}`, fromVersion: i }))
    if (i % 7 === 0) writer.done(`a${i}`)
    if (i % 50 !== 0) continue
    await turn()
    t.equal(last(reader, `config-${i % 400}`), `a${i}`)
  }
})

t.test('what ended or crashed processes left is taken over, what live ones write is not', async (t) => {
  const dir = folder(t)
  const [ended, crashed, living] = [new Journal(dir, ring), new Journal(dir, ring), new Journal(dir, ring)]
  crashed.keep(entry('crashed', { configId: 'crashed' }))
  const long = new Date(Date.now() - 2 * 3_600_000)
  for (const file of files(dir)) utimesSync(join(dir, 'journal', file), long, long)
  living.keep(entry('living', { configId: 'living' }))
  ended.keep(entry('ended', { configId: 'ended' }))
  ended.close()
  const next = new Journal(dir, ring)
  next.tend()
  t.equal(files(dir).length, 2)
  t.same(next.pending().length, 3)
  for (const id of ['crashed', 'living', 'ended']) t.equal(last(next, id), id)
  next.close()
  t.equal(new Journal(dir, ring).pending().length, 3)
})

t.test('who wakes up to find its file taken over goes on in another', async (t) => {
  const dir = folder(t)
  const journal = new Journal(dir, ring)
  journal.keep(entry('before'))
  for (const file of files(dir)) rmSync(join(dir, 'journal', file))
  journal.keep(entry('after'))
  t.equal(last(new Journal(dir, ring)), 'after')
})

t.test('a deleted credential is forgotten when the file starts anew', async (t) => {
  const dir = folder(t)
  const journal = new Journal(dir, ring)
  for (const configId of ['gone', 'there']) {
    journal.keep(entry(configId, { configId }))
    journal.done(configId)
  }
  journal.standings()
  journal.forget('gone')
  for (let i = 0; i < 2_000; i += 1) {
    journal.keep(entry(`a${i}`, { fromVersion: i }))
    journal.done(`a${i}`)
  }
  const next = new Journal(dir, ring)
  t.same([last(next, 'gone'), last(next, 'there')], [undefined, 'there'])
})

t.test('a new key seals everything anew, beside processes that go on writing', async (t) => {
  const dir = folder(t)
  const [before, running] = [new Journal(dir, ring), new Journal(dir, new KeyRing([newKey, oldKey]))]
  before.keep(entry('pending', { configId: 'pending' }))
  before.keep(entry('done', { configId: 'done' }))
  before.done('done') // and then it crashed: its file does not look left
  running.keep(entry('running', { configId: 'running' }))
  const rotating = new Journal(dir, new KeyRing([newKey, oldKey]))
  t.equal(rotating.reseal(), 2)
  running.keep(entry('later', { configId: 'running', fromVersion: 2 }))
  rotating.close()
  const after = new Journal(dir, new KeyRing([newKey]))
  t.same(
    after
      .pending()
      .map(({ attemptId }) => attemptId)
      .sort(),
    ['later', 'pending', 'running'],
  )
  for (const [id, attempt] of [
    ['pending', 'pending'],
    ['done', 'done'],
    ['running', 'later'],
  ])
    t.equal(last(after, id), attempt)
  t.equal(new Journal(dir, new KeyRing([newKey, oldKey])).reseal(), 0, 'once is enough')
})

t.test('a file with lines of a lost key stays, for the key may come back', async (t) => {
  const dir = folder(t)
  const lost = new Journal(dir, ring)
  lost.keep(entry('lost'))
  lost.close()
  const other = new Journal(dir, new KeyRing([newKey]))
  other.tend()
  t.same(other.pending(), [])
  t.equal(new Journal(dir, ring).pending().length, 1)
})

t.test('asking whether it can be written writes nothing', async (t) => {
  const broker = await startBroker(t)
  await broker.connect()
  const ready = () => call(`${broker.origin}/health/ready`, 'GET')
  t.equal((await ready()).status, 200)
  const before = files(broker.dataDir).map((file) => readFileSync(join(broker.dataDir, 'journal', file)))
  const asked = await Promise.all(Array.from({ length: 300 }, ready))
  t.ok(asked.every(({ status }) => status === 200))
  const journal = new Journal(broker.dataDir, ring)
  for (let i = 0; i < 100; i += 1) t.equal(journal.isWritable(), true)
  journal.close()
  t.same(
    files(broker.dataDir).map((file) => readFileSync(join(broker.dataDir, 'journal', file))),
    before,
  )
})

onMysql(t, 'however often a load balancer asks, the database is asked once a second', async (t, { url }) => {
  const proxy = await TcpProxy.to(url)
  t.teardown(() => proxy.close())
  const broker = await startBroker(t, { databaseUrl: proxy.via(url) })
  let queries = 0
  proxy.tap = {
    toServer: (chunk) => {
      if (chunk.includes('change_counter')) queries += 1
    },
  }
  const startedAt = performance.now()
  let calls = 0
  for (; calls < 400 || performance.now() - startedAt < 1_500; calls += 20) {
    await Promise.all(Array.from({ length: 20 }, () => call(`${broker.origin}/health/ready`, 'GET')))
  }
  const seconds = (performance.now() - startedAt) / 1_000
  t.ok(queries <= 2 * (seconds + 2), `${queries} queries in ${seconds} s, ${calls} calls`) // one is the watcher's
})

t.test(
  'a full disk, a folder that is replaced or may not be written to: said, and over when it is over',
  async (t) => {
    const dir = folder(t)
    const mount = (...args: string[]) => execFileSync('mount', args, { stdio: 'pipe' })
    try {
      mount('-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', dir)
    } catch {
      t.comment('no file system can be mounted here')
      return
    }
    t.teardown(() => execFileSync('umount', ['-l', '-R', dir]))
    const journal = new Journal(dir, ring)
    journal.keep(entry('kept'))
    t.equal(journal.isWritable(), true)
    const room = size(dir)
    try {
      writeFileSync(join(dir, 'filling'), Buffer.alloc(4 * 1024 * 1024))
    } catch {}
    t.equal(journal.isWritable(), false, 'full')
    t.throws(() => journal.begin('full'), { code: 'storage_unavailable' })
    t.equal(size(dir), room, 'nothing was written')
    rmSync(join(dir, 'filling'))
    t.equal(journal.isWritable(), true, 'there is room again')
    mount('-t', 'tmpfs', '-o', 'ro', 'tmpfs', join(dir, 'journal'))
    t.equal(journal.isWritable(), false, 'another folder, and read-only')
    execFileSync('umount', ['-l', join(dir, 'journal')])
    rmSync(join(dir, 'journal'), { recursive: true })
    t.equal(journal.isWritable(), true, 'an empty folder in its place')
    journal.keep(entry('elsewhere', { fromVersion: 2 }))
    t.equal(last(new Journal(dir, ring)), 'elsewhere')
  },
)
