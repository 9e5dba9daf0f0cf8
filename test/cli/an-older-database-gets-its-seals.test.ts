/** From a release whose rows have no seals to one that refuses rows without, while brokers run. */
import t, { type Test } from 'tap'
import { checkRight, checkRotated } from '../../src/api-key/key-rights.ts'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { Secret } from '../../src/base/secret.ts'
import { resealAll } from '../../src/cli/reseal.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { DeviceSessionStore } from '../../src/onboarding/device-session-store.ts'
import { noteChange } from '../../src/storage/changes.ts'
import type { Database } from '../../src/storage/database.ts'
import { generateFernetKey } from '../../src/vault/fernet.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { type Broker, login, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { sitDown } from '../support/desk.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'

const SECOND_ROW = 2

const codeOf = async (broker: Broker, id: string): Promise<string> =>
  (await broker.admin('POST', `/api/models/configs/${id}/diagnose`)).body.code

/** As an earlier release leaves it. */
async function withoutSeals(database: Database): Promise<void> {
  const none = { config_seal: null, oauth_seal: null }
  await database.run((db) => db.updateTable('model_configs').set(none).execute())
  await database.run((db) => db.updateTable('device_sessions').set({ session_seal: null }).execute())
  await database.run((db) => db.deleteFrom('encryption_canary').where('id', '=', SECOND_ROW).execute())
}

async function olderBroker(t: Test, url: string, kind: 'SQLite' | 'MySQL') {
  const first = await startBroker(t, { databaseUrl: url })
  const { configId, key } = await first.connect()
  const session = await login(first)
  const database = openTables(t, first, { kind, url })
  await withoutSeals(database)
  const env = { DATA_DIR: first.dataDir }
  const broker = await startBroker(t, { databaseUrl: url, shared: first.sandbox, env })
  return { broker, first, configId, key, session, database, env }
}

onEachDatabase(t, 'until it is told to, a start warns and every row counts', async (t, { url, kind }) => {
  const { broker, configId, session } = await olderBroker(t, url, kind)
  t.equal(broker.log.filter((line) => line.includes('encryption-key seal')).length, 1)
  t.not(await codeOf(broker, configId), 'cannot_decrypt')
  const status = await fetch(`${broker.origin}/api/sandbox/oauth/status?session_id=${session}`)
  t.equal(status.status, 200)
})

onEachDatabase(
  t,
  '`encryption-key seal` ties every row, and running brokers refuse others from then on',
  async (t, where) => {
    const { broker, configId, session, database, env } = await olderBroker(t, where.url, where.kind)
    const desk = sitDown(t)
    const run = (...words: string[]) =>
      desk.run(['encryption-key', 'seal', ...words], '', { DATABASE_URL: where.url, ...env })
    const asked = await run()
    t.match([asked.code, asked.err], [2, /Replicas of an earlier release.*--yes/s])
    const done = await run('--yes')
    t.match([done.code, done.out], [0, /^2 rows sealed/])
    t.not(await codeOf(broker, configId), 'cannot_decrypt', 'its own rows go on')
    const status = await fetch(`${broker.origin}/api/sandbox/oauth/status?session_id=${session}`)
    t.equal(status.status, 200)

    await database.transaction(async (trx) => {
      await trx.updateTable('model_configs').set({ oauth_seal: null }).execute()
      await noteChange(trx)
    })
    await waitUntil(async () => (await codeOf(broker, configId)) === 'cannot_decrypt')
    t.equal(broker.log.filter((line) => line.includes('"level":"fatal"')).length, 0)
  },
)

onEachDatabase(
  t,
  'a rotation takes the seals along, and leaves alone what was tampered with',
  async (t, where) => {
    const broker = await startBroker(t, { databaseUrl: where.url })
    const [good, bad] = [await broker.connect('good'), await broker.connect('bad')]
    await login(broker)
    const reader = { name: 'reader', may_read_tokens: true }
    const { id: readerId } = (await broker.admin('POST', '/api/keys', reader)).body
    await broker.admin('POST', `/api/keys/${readerId}/rotate`)
    const database = openTables(t, broker, where)
    await database.run((db) =>
      db.updateTable('model_configs').set({ oauth_token_type: 'X' }).where('id', '=', bad.configId).execute(),
    )
    const [old, newer] = [new Secret(BUILT_IN_ENCRYPTION_KEY), new Secret(generateFernetKey())]
    const ringOf = (...keys: Secret[]) => {
      const keyRing = new KeyRing(keys)
      const seals = new RowSeals(keyRing)
      seals.enforce()
      return { keyRing, seals, sessions: new DeviceSessionStore(database, keyRing, seals) }
    }
    const rotate = () => {
      const { keyRing, seals, sessions } = ringOf(newer, old)
      return resealAll(database, keyRing, seals, sessions, false)
    }
    const values = 2 + 3 // of a login, and of a session with its verifier and tokens
    t.same(await rotate(), { count: values, rows: 2 + 2, left: [`model_configs ${bad.configId}`] })
    t.same(await rotate(), { count: 0, rows: 0, left: [`model_configs ${bad.configId}`] })
    const { seals } = ringOf(newer)
    const rows = await database.run((db) => db.selectFrom('model_configs').selectAll().execute())
    for (const row of rows.filter(({ id }) => id === good.configId)) {
      t.doesNotThrow(() => seals.checkConfig(row))
      t.doesNotThrow(() => seals.checkOAuth(row))
    }
    const keys = await database.run((db) => db.selectFrom('api_keys').selectAll().execute())
    for (const row of keys) t.doesNotThrow(() => checkRight(seals, row))
    const rotated = await database.run((db) => db.selectFrom('rotated_keys').selectAll().execute())
    t.equal(rotated.length, 1)
    for (const row of rotated) t.doesNotThrow(() => checkRotated(seals, row))
  },
)
