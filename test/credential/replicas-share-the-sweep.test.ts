/** Replicas refresh different credentials: each of them once, the soonest end first, no more at once than a server bears. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import t, { type Test } from 'tap'
import { DAY } from '../../src/base/clock.ts'
import { createLog } from '../../src/base/log.ts'
import type { Credential } from '../../src/credential/credential.ts'
import type { DueRow } from '../../src/credential/credential-reader.ts'
import { SweepLane } from '../../src/credential/sweep-lane.ts'
import { loadConfig } from '../../src/settings/config.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { onEachDatabase } from '../support/databases.ts'
import { insertLogins, LOGINS_KEY, planLogin } from '../support/logins.ts'
import { providerOf, startTokenServer, type TokenServer } from '../support/token-server.ts'
import { credential, provider } from './fixtures/credential.ts'
import { openSweeper } from './fixtures/sweeping.ts'

const NOW = 1_000_000_000
const LOG = createLog('silent')

/** What replicas see of one table in which so many are due, as long as nobody writes. */
function tableOf(count: number) {
  const rows: DueRow[] = Array.from({ length: count }, (_, index) => ({
    configId: `0000-${index}`,
    version: 1,
    updatedAt: 1,
    expiresAt: NOW + index,
    receivedAt: undefined,
  }))
  const store = {
    async *soonDue() {
      yield* rows
    },
    loadMany: async (ids: readonly string[]) =>
      ids.map((configId) => credential({ configId, tokens: { expiresAt: NOW } })),
  }
  return { rows, store }
}

/** The first that a replica takes. */
async function firstTaken(store: ReturnType<typeof tableOf>['store'], count: number): Promise<string[]> {
  const taken: string[] = []
  const lane = new SweepLane(
    {
      store,
      refresher: {
        refreshInBackground: ({ row: { configId } }) => {
          taken.push(configId)
          if (taken.length === count) lane.stop()
          const done = Promise.resolve()
          return { startedAt: Date.now(), outcome: done.then(() => ({ kind: 'reauth_required' })), done }
        },
        isHeld: () => false,
      },
      changes: { seen: 0, clock: () => NOW },
      log: LOG,
      look: async (_: Credential) => {},
      unreadable: new LRUCache({ max: 1 }),
      seen: new LRUCache({ max: 10_000 }),
    },
    provider(),
    'living',
  )
  await lane.round()
  return taken.slice(0, count)
}

t.test('two replicas that see the same table take different ones first', async (t) => {
  const { store } = tableOf(5_000)
  const [one, other] = [await firstTaken(store, 60), await firstTaken(store, 60)]
  const both = one.filter((id) => other.includes(id))
  t.ok(both.length < 20, `${both.length} of 60 are taken by both`)
  const places = one.map((id) => Number(id.split('-')[1]))
  t.ok(Math.max(...places) < 1_000, 'out of those that end soonest')
})

t.test('a replica takes all of a few, and comes to everybody in the end', async (t) => {
  for (const count of [1, 40, 64, 65, 500, 2_500]) {
    const { rows, store } = tableOf(count)
    const taken = await firstTaken(store, count)
    t.equal(new Set(taken).size, rows.length)
    if (count <= 64)
      t.same(
        taken,
        rows.map(({ configId }) => configId),
        'the soonest end first',
      )
  }
})

t.test(
  'what a caller renewed since it was found is let be, for its new token would be spent for nothing',
  async (t) => {
    const { rows, store } = tableOf(200)
    const renewed = new Set(rows.filter((_, index) => index % 3 === 0).map(({ configId }) => configId))
    const loadMany = async (ids: readonly string[]) =>
      ids.map((configId) =>
        credential({ configId, tokens: { expiresAt: renewed.has(configId) ? NOW + DAY : NOW } }),
      )
    const taken = await firstTaken({ ...store, loadMany }, rows.length)
    t.equal(taken.length, rows.length - renewed.size)
    t.notOk(taken.some((configId) => renewed.has(configId)))
  },
)

/** Parts as brokers on one database have them, with a DATA_DIR of their own if that is not where the database is. */
async function startReplicas(
  t: Test,
  count: number,
  place: { url: string; server: TokenServer; refresh: object },
) {
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-replicas-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const CONFIG_FILE = join(dir, 'config.yaml')
  const own = providerOf(place.server, { refresh: place.refresh })
  writeFileSync(CONFIG_FILE, JSON.stringify({ allow_insecure_loopback: true, providers: { own } }))
  const replicas = []
  for (let index = 0; index < count; index += 1) {
    const DATA_DIR = join(dir, place.url === 'sqlite:' ? 'data' : String(index))
    const env = { DATA_DIR, DATABASE_URL: place.url, TOKEN_ENCRYPTION_KEY: LOGINS_KEY, CONFIG_FILE }
    const config = loadConfig(readSettings(env), env, {})
    const { parts, sweeper } = await openSweeper(t, config, LOG)
    const { database, changes, credentialStore: store, own: refresher } = parts
    replicas.push({ sweeper, database, changes, store, refresher })
  }
  return replicas
}

onEachDatabase(
  t,
  'a row that has moved on since it was read is not taken for what it was',
  async (t, { url }) => {
    const server = await startTokenServer(t)
    const [one, other] = await startReplicas(t, 2, { url, server, refresh: {} })
    if (!one || !other) throw new Error('no replicas')
    const login = planLogin({ name: 'login', provider: 'own', expiresAt: Date.now() + 200_000 })
    await insertLogins(one.database, [login])
    const read = async ({ store, changes: { seen } }: typeof one) => {
      const row = await store.load(login.id)
      if (!row) throw new Error('no row')
      return { row, seen }
    }
    const [before, beforeToo] = [await read(one), await read(other)]
    t.match(await one.refresher.refreshInBackground(before).outcome, { kind: 'renewed' })
    await one.refresher.idle()
    for (const again of [
      one.refresher.refreshInBackground(before),
      other.refresher.refreshInBackground(beforeToo),
    ])
      t.match(await again.outcome, { kind: 'renewed', credential: { version: before.row.version + 1 } })
    t.same(server.asked, ['login'])
    t.same(server.reused, [])
  },
)

const REFRESHES = 300

onEachDatabase(t, 'three replicas refresh each credential once', async (t, { url }) => {
  const server = await startTokenServer(t)
  const replicas = await startReplicas(t, 3, { url, server, refresh: { at_once: 8 } })
  const logins = Array.from({ length: REFRESHES }, (_, index) =>
    planLogin({ name: `login-${index}`, provider: 'own', expiresAt: Date.now() + 200_000 }),
  )
  const [first] = replicas
  if (!first) throw new Error('no replica')
  await insertLogins(first.database, logins)
  await Promise.all(replicas.map(({ sweeper }) => sweeper.sweep()))
  await Promise.all(replicas.map(({ sweeper }) => sweeper.sweep()))
  t.equal(server.asked.length, REFRESHES)
  t.equal(new Set(server.asked).size, REFRESHES)
  t.same(server.reused, [])
  t.ok(server.mostUnderWay <= 3 * 8, `${server.mostUnderWay} at once`)
})

t.test('within a replica the soonest end goes first, and so many a second are no more', async (t) => {
  const server = await startTokenServer(t)
  const [replica] = await startReplicas(t, 1, {
    url: 'sqlite:',
    server,
    refresh: { at_once: 1, per_second: 20 },
  })
  if (!replica) throw new Error('no replica')
  const soon = Date.now() + 150_000
  const logins = Array.from({ length: 20 }, (_, index) =>
    planLogin({ name: `${(index * 7) % 20}`, provider: 'own', expiresAt: soon + ((index * 7) % 20) * 1_000 }),
  )
  await insertLogins(replica.database, logins)
  const startedAt = performance.now()
  await replica.sweeper.sweep()
  t.ok(performance.now() - startedAt >= 19 * 50 - 1)
  t.equal(server.mostUnderWay, 1)
  t.equal(server.asked.length, logins.length)
  // Two are prepared at a time, and either may be the first to be ready.
  for (const [place, name] of server.asked.entries()) t.ok(Math.abs(place - Number(name)) <= 1, name)
})
