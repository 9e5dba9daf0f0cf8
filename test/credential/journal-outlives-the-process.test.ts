/** The journal: written before and after a refresh token is spent, read by whoever comes next. */
import { randomUUID } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { createLog } from '../../src/base/log.ts'
import { Secret } from '../../src/base/secret.ts'
import { Journal } from '../../src/credential/journal.ts'
import type { JournalEntry } from '../../src/credential/journal-reader.ts'
import { NO_PROXY } from '../../src/http1/egress-proxy.ts'
import { AuthorizationServer } from '../../src/oauth/authorization-server.ts'
import { refreshToken } from '../../src/oauth/refresh-token-grant.ts'
import { joinParts } from '../../src/parts.ts'
import { loadConfig } from '../../src/settings/config.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { createLoginAgent } from '../../src/upstream/agent.ts'
import { generateFernetKey } from '../../src/vault/fernet.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { type Broker, call, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'

function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-journal-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const ring = new KeyRing([new Secret(generateFernetKey())])

const entry = (attemptId: string, fromVersion = 1): JournalEntry => ({
  attemptId,
  configId: 'config',
  loginAt: 0,
  fromVersion,
  tokens: {
    accessToken: `access-${attemptId}-canary`,
    refreshToken: `refresh-${attemptId}-canary`,
    tokenType: 'Bearer',
    scope: undefined,
    expiresAt: 1,
    receivedAt: 0,
    metadata: {},
  },
  at: Date.now(),
})

t.test('what was kept and not done is pending, for other processes too', async (t) => {
  const dir = folder(t)
  const journal = new Journal(dir, ring)
  journal.begin('a')
  journal.keep(entry('a'))
  journal.keep(entry('b'))
  journal.done('a')
  const another = new Journal(dir, ring)
  t.same(
    another.pending().map(({ attemptId, tokens }) => [attemptId, tokens.refreshToken]),
    [['b', 'refresh-b-canary']],
  )
  another.done('b')
  t.same(journal.pending(), [])
})

t.test('a line cut off by a kill, and one of a lost key, are passed over', async (t) => {
  const dir = folder(t)
  const journal = new Journal(dir, ring)
  journal.keep(entry('whole'))
  const [file = ''] = readdirSync(join(dir, 'journal'))
  const path = join(dir, 'journal', file)
  const text = readFileSync(path, 'utf8')
  const foreign = new KeyRing([new Secret(generateFernetKey())]).seal('{"kind":"kept"}')
  writeFileSync(path, `${foreign}\n${text}${text.slice(0, text.length / 2)}`)
  t.same(
    new Journal(dir, ring).pending().map(({ attemptId }) => attemptId),
    ['whole'],
  )
})

t.test('nothing in it can be read without the key', async (t) => {
  const dir = folder(t)
  new Journal(dir, ring).keep(entry('secret'))
  const [file = ''] = readdirSync(join(dir, 'journal'))
  t.notMatch(readFileSync(join(dir, 'journal', file), 'utf8'), /canary|config|kept/)
})

/** What a process leaves that is killed between the answer and the commit: a lease in the row, a journal. */
async function refreshAndDie(broker: Broker, databaseUrl: string, configId: string): Promise<void> {
  const env = { DATA_DIR: broker.dataDir, DATABASE_URL: databaseUrl }
  const config = loadConfig(readSettings(env), env, { sandboxOrigin: broker.sandbox.origin })
  const parts = joinParts(config, createLog('silent'))
  const provider = config.providers.get('sandbox')
  const credential = await parts.credentialStore.load(configId)
  if (!credential?.tokens.refreshToken || !provider) throw new Error('nothing to refresh')
  const attemptId = randomUUID()
  await parts.credentialStore.claimLease(credential, 'killed', attemptId)
  const renewal = await refreshToken(
    new AuthorizationServer(provider, createLoginAgent(NO_PROXY)),
    credential.tokens.refreshToken,
    Date.now,
  )
  if (renewal.kind !== 'tokens') throw new Error(renewal.why)
  const { loginAt, version: fromVersion } = credential
  parts.journal.keep({
    attemptId,
    configId,
    loginAt,
    fromVersion,
    tokens: renewal.tokens,
    at: Date.now(),
  })
  await parts.database.close()
}

onEachDatabase(
  t,
  'an answer whose process died before the commit is stored at the next start',
  async (t, { url }) => {
    const first = await startBroker(t, { databaseUrl: url })
    const { configId, key } = await first.connect()
    const before = (await first.admin('GET', `/api/models/configs/${configId}`)).body
    await refreshAndDie(first, url, configId)

    const second = await startBroker(t, {
      databaseUrl: url,
      shared: first.sandbox,
      env: { DATA_DIR: first.dataDir },
    })
    const now = async () => (await second.admin('GET', `/api/models/configs/${configId}`)).body
    await waitUntil(async () => (await now()).credential.state === 'active')
    const after = await now()
    t.not(after.credential.fingerprint, before.credential.fingerprint)
    t.equal(after.updated_at, before.updated_at)
    const answer = await call(
      `${second.origin}/v1/chat/completions`,
      'POST',
      { model: 'sandbox-model', messages: [{ role: 'user', content: 'hi' }] },
      key,
    )
    t.equal(answer.status, 200)
    t.equal(first.sandbox.counts.reusesDetected, 0)
  },
)

onEachDatabase(t, 'a row that no key opens holds up neither the start nor the others', async (t, db) => {
  const first = await startBroker(t, { databaseUrl: db.url })
  const connected = [await first.connect('broken'), await first.connect('whole')]
  for (const { configId } of connected) await refreshAndDie(first, db.url, configId)
  const [broken, whole] = connected.map(({ configId }) => configId)
  const database = openTables(t, first, db)
  const foreign = new KeyRing([new Secret(generateFernetKey())]).seal('sealed with a key that is gone')
  await database.run((kysely) =>
    kysely
      .updateTable('model_configs')
      .set({ oauth_access_token: foreign })
      .where('id', '=', broken ?? '')
      .execute(),
  )
  const env = { DATA_DIR: first.dataDir }
  const second = await startBroker(t, { databaseUrl: db.url, shared: first.sandbox, env })
  const stateOf = (id = '') =>
    database.run((kysely) =>
      kysely
        .selectFrom('model_configs')
        .select(['oauth_version', 'oauth_state'])
        .where('id', '=', id)
        .executeTakeFirst(),
    )
  await waitUntil(async () => (await stateOf(whole))?.oauth_version === 2)
  t.match(await stateOf(whole), { oauth_state: 'active' })
  await waitUntil(() => second.log.some((line) => line.includes('cannot be stored yet')))
  t.match(await stateOf(broken), { oauth_version: 1 })
})

onEachDatabase(
  t,
  'a call right after the start gets the answer in the journal, also while that is still being read',
  async (t, db) => {
    const first = await startBroker(t, { databaseUrl: db.url })
    const { configId, key } = await first.connect()
    await refreshAndDie(first, db.url, configId)
    const database = openTables(t, first, db)
    await database.run((kysely) =>
      kysely
        .updateTable('model_configs')
        .set({ lease_until: 0, oauth_expires_at: 1 })
        .where('id', '=', configId)
        .execute(),
    )
    const theirs = new KeyRing([new Secret(BUILT_IN_ENCRYPTION_KEY)])
    const others = Array.from({ length: 3_000 }, (_, index) =>
      theirs.seal(JSON.stringify({ kind: 'last', ...entry(`other-${index}`), configId: `other-${index}` })),
    )
    const [file = ''] = readdirSync(join(first.dataDir, 'journal'))
    const path = join(first.dataDir, 'journal', file)
    writeFileSync(path, `${others.join('\n')}\n${readFileSync(path, 'latin1')}`)
    const second = await startBroker(t, {
      databaseUrl: db.url,
      shared: first.sandbox,
      env: { DATA_DIR: first.dataDir },
    })
    const answer = await call(
      `${second.origin}/v1/chat/completions`,
      'POST',
      { model: 'sandbox-model', messages: [{ role: 'user', content: 'hi' }] },
      key,
    )
    t.equal(answer.status, 200)
    t.equal(first.sandbox.counts.reusesDetected, 0)
  },
)

t.test(
  'while it cannot be written the broker is not ready, refreshes nothing, and answers from its cache',
  async (t) => {
    const broker = await startBroker(t)
    const { key, configId } = await broker.connect()
    const chat = () =>
      call(
        `${broker.origin}/v1/chat/completions`,
        'POST',
        { model: 'sandbox-model', messages: [{ role: 'user', content: 'hi' }] },
        key,
      )
    t.equal((await chat()).status, 200)
    // Root may write anywhere, so a file stands where the folder should be.
    rmSync(join(broker.dataDir, 'journal'), { recursive: true, force: true })
    writeFileSync(join(broker.dataDir, 'journal'), '')
    chmodSync(join(broker.dataDir, 'journal'), 0o400)
    const ready = await call(`${broker.origin}/health/ready`, 'GET')
    t.match(ready, { status: 503, body: { status: 'the journal cannot be written' } })
    const refresh = await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
    t.match(refresh, { status: 503, body: { code: 'refresh_unavailable' } })
    t.equal(broker.sandbox.counts.refreshGrants, 0)
    t.equal((await chat()).status, 200)
  },
)

t.test('asking again reads only what is new, whichever process wrote it', async (t) => {
  const dir = folder(t)
  const [mine, others] = [new Journal(dir, ring), new Journal(dir, ring)]
  const ids = Array.from({ length: 1_000 }, (_, index) => `attempt-${index}`)
  for (const id of ids) others.keep(entry(id))
  const msOf = (work: () => unknown) => {
    const startedAt = performance.now()
    work()
    return performance.now() - startedAt
  }
  const all = msOf(() => t.equal(mine.pending().length, 1_000))
  const again = msOf(() => {
    for (let asked = 0; asked < 500; asked += 1) mine.pending()
  })
  t.ok(again < 100 * all, `${Math.round(again)} ms for 500 questions, ${Math.round(all)} ms for the first`)

  others.keep(entry('last'))
  t.equal(mine.pending().length, 1_001)
  for (const id of ids) others.done(id)
  t.same(
    mine.pending().map(({ attemptId }) => attemptId),
    ['last'],
  )
  others.done('last')
  others.close()
  t.same(mine.pending(), [], 'a file that is gone is no error')
})
