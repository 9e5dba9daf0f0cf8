/** A start proves its keys on the database before anything is served or stored. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { ConfigError } from '../../src/base/environment.ts'
import { Secret } from '../../src/base/secret.ts'
import { startSandbox } from '../../src/sandbox/sandbox.ts'
import type { Database } from '../../src/storage/database.ts'
import { proveKeys, resealCanary } from '../../src/storage/encryption-canary.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { generateFernetKey } from '../../src/vault/fernet.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { call, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { configRow, open } from './fixtures/open.ts'

const [OLD, NEW] = [generateFernetKey(), generateFernetKey()]
const ring = (...keys: string[]) => new KeyRing(keys.map((key) => new Secret(key)))

async function emptyTables(t: Test, where: TestDatabase): Promise<Database> {
  const dataDir = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const database = open(t, where, dataDir)
  await migrate(database)
  return database
}

onEachDatabase(
  t,
  'a rolling change of keys: every step starts, every step left out does not',
  async (t, where) => {
    const database = await emptyTables(t, where)
    const starts = (...keys: string[]) => proveKeys(database, ring(...keys))
    await starts(OLD)
    await t.rejects(starts(NEW), ConfigError)
    await starts(OLD, NEW)
    await starts(NEW, OLD)
    await t.rejects(starts(NEW), ConfigError, 'a start alone does not make a new key the right one')
    await resealCanary(database, ring(NEW, OLD))
    await starts(NEW)
    await t.rejects(starts(OLD), ConfigError)
  },
)

onEachDatabase(t, 'an older database is asked by what it holds', async (t, where) => {
  for (const [what, values] of [
    ['an API key', { api_key: ring(OLD).seal('sk-1') }],
    ['a login', { oauth_access_token: ring(OLD).seal('a') }],
  ] as const) {
    const database = await emptyTables(t, where)
    await database.run((db) => db.insertInto('model_configs').values(configRow(what, values)).execute())
    await t.rejects(proveKeys(database, ring(NEW)), ConfigError, what)
    await t.rejects(proveKeys(database, ring(NEW)), ConfigError, 'nor does a second try')
    await proveKeys(database, ring(NEW, OLD))
    await database.run((db) => db.deleteFrom('model_configs').execute())
    await database.run((db) => db.deleteFrom('encryption_canary').execute())
  }
})

onEachDatabase(t, 'a damaged value does not keep the right key out', async (t, where) => {
  const database = await emptyTables(t, where)
  const rows = ['not sealed', ring(NEW).seal('x'), ring(OLD).seal('sk-1')]
  for (const [index, api_key] of rows.entries()) {
    await database.run((db) =>
      db
        .insertInto('model_configs')
        .values(configRow(`c${index}`, { api_key }))
        .execute(),
    )
  }
  await proveKeys(database, ring(OLD))
})

onEachDatabase(
  t,
  'of replicas that start together on an empty database with different keys one stays',
  async (t, where) => {
    const database = await emptyTables(t, where)
    const keys = Array.from({ length: 8 }, generateFernetKey)
    const started = await Promise.allSettled(keys.map((key) => proveKeys(database, ring(key))))
    t.equal(started.filter(({ status }) => status === 'fulfilled').length, 1)
  },
)

t.test('the line says which key is missing and what to do, and holds no key', async (t) => {
  const lines = new Map<string, string>()
  for (const key of [OLD, BUILT_IN_ENCRYPTION_KEY]) {
    const database = await emptyTables(t, { kind: 'SQLite', url: 'sqlite:' })
    await proveKeys(database, ring(key))
    const error = await proveKeys(database, ring(NEW)).catch((thrown: Error) => thrown)
    lines.set(key, String((error as Error).message))
  }
  t.match(lines.get(OLD), /^TOKEN_ENCRYPTION_KEY: .*key [0-9a-f]{8}, which is missing.*YOURS,OLD.*rotate$/)
  t.match(lines.get(BUILT_IN_ENCRYPTION_KEY), /the built-in key, which is missing.*YOURS,default/)
  for (const line of lines.values()) {
    t.notMatch(line, '\n')
    for (const key of [OLD, NEW, BUILT_IN_ENCRYPTION_KEY]) t.notOk(line.includes(key))
  }
})

onEachDatabase(t, 'a broker with another key does not start', async (t, { url }) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const shared = await startSandbox()
  t.teardown(() => shared.close())
  const start = (TOKEN_ENCRYPTION_KEY: string) =>
    startBroker(t, { databaseUrl: url, shared, env: { DATA_DIR: dataDir, TOKEN_ENCRYPTION_KEY } })
  await (await start(OLD)).close()
  await t.rejects(start(NEW), ConfigError)
  await (await start(`${NEW},${OLD}`)).close()
})

onEachDatabase(t, 'a broker whose keys another replica has rotated away is not ready', async (t, where) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const env = { DATA_DIR: dataDir, TOKEN_ENCRYPTION_KEY: OLD }
  const broker = await startBroker(t, { databaseUrl: where.url, env })
  const readiness = () => call(`${broker.origin}/health/ready`, 'GET')
  t.equal((await readiness()).status, 200)
  const database = open(t, where, dataDir)
  await resealCanary(database, ring(NEW))
  await waitUntil(async () => (await readiness()).status === 503)
  t.match((await readiness()).body, { status: 'TOKEN_ENCRYPTION_KEY does not open the database' })
  await resealCanary(database, ring(OLD))
  await waitUntil(async () => (await readiness()).status === 200)
})
