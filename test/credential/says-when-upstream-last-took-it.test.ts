import { once } from 'node:events'
import t from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { createLog } from '../../src/base/log.ts'
import { Secret } from '../../src/base/secret.ts'
import { Acceptances } from '../../src/credential/acceptances.ts'
import { CredentialStore } from '../../src/credential/credential-store.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { ask } from '../gateway/fixtures/client.ts'
import { connect, setUpRealtime } from '../gateway/fixtures/realtime.ts'
import { logIn } from '../gateway/fixtures/sandbox-calls.ts'
import { type Handler, json, setUp, UPSTREAM_KEY } from '../gateway/fixtures/upstream.ts'
import { configRow } from '../storage/fixtures/open.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { credential } from './fixtures/credential.ts'

const CONFIGS = '/api/models/configs'
const HOUR_MS = 3_600_000

const answers = (status: number, body: object) => (_: unknown, response: Parameters<Handler>[1]) =>
  json(response, body, status)
const page: Handler = (_, response) =>
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<form>')

onEachDatabase(t, 'only a good answer says that upstream took it', async (t, database) => {
  const { broker, upstream, configId, key, v1 } = await setUp(t, { databaseUrl: database.url })
  const acceptedAt = async () =>
    (await broker.admin('GET', `${CONFIGS}/${configId}`)).body.credential.accepted_at
  const call = () => ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
  t.equal(await acceptedAt(), null, 'never yet')
  const others: [string, Handler][] = [
    ['refused', answers(401, { error: {} })],
    ['not allowed', answers(403, { error: {} })],
    ['a wrong call', answers(400, { error: {} })],
    ['too much', answers(429, { error: {} })],
    ['broken', answers(500, {})],
    ['a page to sign in', page],
  ]
  for (const [what, answer] of others) {
    upstream.answer(answer)
    await call()
    t.equal(await acceptedAt(), null, what)
  }
  upstream.answer(answers(200, {}))
  const before = Date.now()
  await call()
  const first = await acceptedAt()
  t.ok(first >= before - 1000 && first <= Date.now() + 1000)
  t.equal((await broker.admin('GET', CONFIGS)).body.items[0].credential.accepted_at, first)
  await call()
  t.equal(await acceptedAt(), first, 'within the hour it stays')

  const { run } = openTables(t, broker, database)
  await broker.app.close(0) // what was noted is written
  const row = await run((db) => db.selectFrom('model_configs').selectAll().executeTakeFirstOrThrow())
  t.match(row, { accepted_at: first, accepted_version: row.oauth_version })
})

t.test('a new key, or the same one elsewhere, was not taken yet', async (t) => {
  const { broker, upstream, configId, key, v1 } = await setUp(t)
  const path = `${CONFIGS}/${configId}`
  const acceptedAt = async () => (await broker.admin('GET', path)).body.credential.accepted_at
  const changes = [
    { api_key: UPSTREAM_KEY },
    { base_url: `${upstream.origin}/other/v1` },
    { base_url: `${upstream.origin}/third/v1` },
  ]
  const { run } = openTables(t, broker, { kind: 'SQLite', url: 'sqlite:' })
  for (const change of changes) {
    await ask(`${v1}/models/model-a/x`, { key })
    t.type(await acceptedAt(), 'number')
    await run((db) =>
      db
        .updateTable('model_configs')
        .set(({ ref }) => ({ accepted_at: 1, accepted_version: ref('oauth_version') }))
        .execute(),
    )
    t.equal((await broker.admin('PUT', path, change)).body.credential.accepted_at, null)
  }
  await ask(`${v1}/models/model-a/x`, { key })
  const at = await acceptedAt()
  t.type(at, 'number')
  const renamed = await broker.admin('PUT', path, { name: 'other', base_url: `${upstream.origin}/third/v1` })
  t.equal(renamed.body.credential.accepted_at, at, 'nothing else takes it back')
})

t.test('a renewed token is a new one', async (t) => {
  const { broker, configId, chat } = await logIn(t)
  const acceptedAt = async () =>
    (await broker.admin('GET', `${CONFIGS}/${configId}`)).body.credential.accepted_at
  await chat()
  t.type(await acceptedAt(), 'number')
  const renewed = await broker.admin('POST', `${CONFIGS}/${configId}/refresh`)
  t.equal(renewed.body.credential.accepted_at, null)
  t.match(await broker.admin('POST', `${CONFIGS}/${configId}/diagnose`), { body: { ok: true } })
  t.type(await acceptedAt(), 'number', 'a diagnosis is a call, too')
  await broker.sandbox.revokeAccessTokens()
  await chat()
  t.type(await acceptedAt(), 'number', 'the one that the second try was made with')
})

t.test('a WebSocket that upstream opens counts', async (t) => {
  const setup = await setUpRealtime(t)
  const socket = connect(setup)
  await once(socket, 'open')
  const { body } = await setup.broker.admin('GET', `${CONFIGS}/${setup.configId}`)
  t.type(body.credential.accepted_at, 'number')
  socket.close()
})

onEachDatabase(t, 'it is written once a version and hour, for all replicas', async (t, where) => {
  const database = openTables(t, { dataDir: t.testdir() }, where)
  await migrate(database)
  await database.run((db) =>
    db
      .insertInto('model_configs')
      .values(configRow('a', { id: 'config-1' }))
      .execute(),
  )
  const keyRing = new KeyRing([new Secret(BUILT_IN_ENCRYPTION_KEY)])
  const store = new CredentialStore(database, keyRing, new RowSeals(keyRing), new Map())
  let now = 10 * HOUR_MS
  const replicas = [1, 2].map(() => new Acceptances(store, () => now, createLog('silent')))
  const row = () => database.run((db) => db.selectFrom('model_configs').selectAll().executeTakeFirstOrThrow())
  const taken = async (replica: number, one = credential()) => {
    replicas[replica]?.note(one)
    await replicas[replica]?.flush()
    const { accepted_at, accepted_version } = await row()
    return { accepted_at, accepted_version }
  }
  const first = { accepted_at: now, accepted_version: 1 }
  t.same(await taken(0), first)
  now += HOUR_MS / 2
  t.same(await taken(1), first, 'another replica within the hour')
  now += HOUR_MS / 2
  t.same(await taken(0), { accepted_at: now, accepted_version: 1 })
  t.same(await taken(0, credential({ version: 2 })), { accepted_at: now, accepted_version: 1 })
  await database.run((db) => db.updateTable('model_configs').set({ oauth_version: 2 }).execute())
  t.equal(replicas[1]?.of(await row()), null, 'what upstream took was another version')
  now += 1
  replicas[1]?.note(credential({ version: 2 }))
  t.same(
    await taken(1), // a late answer to an old token
    { accepted_at: now, accepted_version: 2 },
  )
  t.equal(
    replicas[0]?.of({ ...(await row()), base_url: 'https://elsewhere.example' }),
    now,
    'the row has the word',
  )
})
