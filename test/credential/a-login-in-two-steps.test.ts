/**
 * A person's login whose token is traded for the one that calls carry: the second is each process's own, the first is
 * renewed as every login is. Real HTTP to strict servers, OpenAI's client in front.
 */
import t, { type Test } from 'tap'
import { type Answer, type Broker, call, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { STREAMED, startStrictEndpoint } from '../support/strict-token-endpoint.ts'
import { openTables } from '../support/tables.ts'
import { addLogin, providerOf, startTokenServer } from '../support/token-server.ts'
import { waitUntil } from '../support/wait-until.ts'
import { streamed } from './fixtures/token-calls.ts'

const HOUR = 3_600_000
const SQLITE: TestDatabase = { kind: 'SQLite', url: 'sqlite:' }

/** Brokers with one account, the server of its logins, and the one that trades and answers calls. */
async function open(t: Test, database: TestDatabase, more: { inputs?: object; query?: object } = {}) {
  const logins = await startTokenServer(t)
  const vendor = await startStrictEndpoint(t, {})
  /** Access tokens of the login that it trades. */
  const traded = new Set(['access-of-x-0', 'access-of-x-1', 'access-of-x-2'])
  const authorization = (value: string) => (traded.has(value.replace(/^token /, '')) ? undefined : value)
  vendor.expected = { method: 'GET', path: '/step', body: 'none', authorization }
  vendor.answer = (token, seconds) => ({
    body: {
      ...{ token, expires_at: Math.floor(Date.now() / 1_000) + seconds },
      endpoints: { api: `${vendor.origin}/v1` },
    },
  })
  const provider = providerOf(logins, {
    ...(more.inputs && { inputs: more.inputs }),
    refresh: { timeout_seconds: 1, wait_seconds: 2 },
    token_request: [
      {
        ...{ method: 'GET', url: `${vendor.origin}/step`, query: more.query ?? {} },
        headers: { authorization: 'token {login.token}' },
        response: {
          token: '/token',
          expires: { pointer: '/expires_at', unit: 'epoch_s' },
          resource_url: '/endpoints/api',
        },
      },
    ],
    upstream: { resource_hosts: [new URL(vendor.origin).host] },
  })
  const options = {
    databaseUrl: database.url,
    config: JSON.stringify({ allow_insecure_loopback: true, providers: { p: provider } }),
  }
  const broker = await startBroker(t, options)
  const replica = () =>
    startBroker(t, {
      ...options,
      shared: broker.sandbox,
      ...(database.kind === 'SQLite' && { env: { DATA_DIR: broker.dataDir } }),
    })
  const configId = await addLogin(broker, 'p', 'x', Date.now() + HOUR)
  const made = await broker.admin('POST', '/api/keys', { name: 'k', model_config_ids: [configId] })
  const key: string = made.body.key
  const tables = openTables(t, broker, database)
  const row = () =>
    tables.run((db) =>
      db
        .selectFrom('model_configs')
        .select(['oauth_state', 'oauth_version', 'last_error'])
        .where('id', '=', configId)
        .executeTakeFirstOrThrow(),
    )
  return {
    ...{ logins, vendor, traded, broker, replica, configId, key, row },
    complete: (by: Broker = broker): Promise<Answer> =>
      call(`${by.origin}/v1/chat/completions`, 'POST', { model: 'm', messages: [] }, key),
    item: async () => (await broker.admin('GET', `/api/models/configs/${configId}`)).body.credential,
    refresh: () => broker.admin('POST', `/api/models/configs/${configId}/refresh`),
    /** The login's own token; behind the brokers' backs, which forget what they had of it. */
    loginEnds: async (...brokers: Broker[]) => {
      const ended = { oauth_expires_at: Date.now() - 1 }
      await tables.run((db) =>
        db.updateTable('model_configs').set(ended).where('id', '=', configId).execute(),
      )
      for (const one of brokers)
        await one.admin('PATCH', `/api/models/configs/${configId}/status?is_active=true`)
    },
  }
}

onEachDatabase(t, 'three brokers trade once each, and renew the login once', async (t, database) => {
  const { logins, vendor, broker, replica, key, complete, row, loginEnds } = await open(t, database)
  vendor.answerMs = 50
  const brokers = [broker, await replica(), await replica()]
  const rush = async () => {
    const answers = await Promise.all(
      brokers.flatMap((one) => Array.from({ length: 10 }, () => complete(one))),
    )
    t.same([...new Set(answers.map(({ status }) => status))], [200])
  }
  await rush()
  for (const one of brokers) t.same(await streamed(one, key), STREAMED)
  t.equal(vendor.asked, brokers.length, 'one each, for all of its callers')
  t.same(vendor.complaints, [])
  t.same(logins.asked, [], 'a token that lives is not renewed for it')
  t.match(await row(), { oauth_state: 'active', oauth_version: 1 })

  await loginEnds(...brokers)
  await rush()
  t.equal(vendor.asked, brokers.length, 'what it was traded for lives on')
  vendor.revoke()
  await rush()
  t.ok(logins.asked.length <= 1, 'the login is renewed once for all of them')
  t.same(logins.reused, [])
  await waitUntil(async () => (await row()).oauth_version === 1 + logins.asked.length)
})

onEachDatabase(t, 'a login’s token that is refused is renewed first, once', async (t, database) => {
  const all = await open(t, database)
  const { logins, vendor, traded, broker, replica, configId, complete, item, refresh, row } = all
  const brokers = [broker, await replica(), await replica()]
  traded.delete('access-of-x-0')
  for (const { status } of await Promise.all(brokers.map((one) => complete(one)))) t.equal(status, 200)
  t.same(logins.asked, ['x'])
  t.same(logins.reused, [])
  t.match(await item(), { state: 'active', next_action: 'none' })

  traded.clear()
  vendor.revoke()
  await waitUntil(async () => (await row()).oauth_version === 2)
  for (let calls = 0; calls < 5; calls += 1) await complete()
  t.same(logins.asked, ['x'], 'one that is new is not renewed for it')
  t.match(await item(), { state: 'refused', next_action: 'login', reason: /^status 400 invalid_request/ })
  t.match(await refresh(), { status: 401, body: { code: 'credential_refused' } })
  t.equal(logins.asked.length, 2, 'a person asks: at once, and once')
  traded.add('access-of-x-3')
  t.match(await refresh(), { status: 200 })
  t.equal((await complete()).status, 200)
  t.match(await item(), { state: 'active', next_action: 'none' })
  t.same(logins.reused, [])
  const { items } = (await broker.admin('GET', `/api/audit?config_id=${configId}`)).body
  const told: string[] = items.map(({ type }: { type: string }) => type)
  t.same(
    told.filter((type) => /refused|recovered/.test(type)),
    ['credential.recovered', 'credential.refused'],
  )
})

t.test('a login that is over is told as one, with the very call that finds out', async (t: Test) => {
  const { traded, complete, item, logins } = await open(t, SQLITE)
  traded.clear()
  const spent = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'x.0' })
  await fetch(`${logins.origin}/token`, { method: 'POST', body: spent }) // so that the broker’s is dead
  t.match(await complete(), { status: 401, body: { error: { code: 'credential_reauth_required' } } })
  t.match(await item(), { state: 'reauth_required', next_action: 'login' })
})

t.test('what was traded serves to its end, whatever becomes of the servers', async (t: Test) => {
  const { vendor, logins, broker, complete, loginEnds } = await open(t, SQLITE)
  t.equal((await complete()).status, 200)
  vendor.fault = { status: 503, body: { error: 'x' } }
  logins.mood = 'hanging'
  await loginEnds(broker)
  t.equal((await complete()).status, 200)
  t.same(logins.asked, [], 'nor does a call wait for the login')
})

t.test('an answer that was lost is asked for again', async (t: Test) => {
  const { vendor, logins, complete } = await open(t, SQLITE)
  vendor.fault = 'hang'
  t.match(await complete(), { status: 503, body: { error: { code: 'refresh_unavailable' } } })
  vendor.fault = undefined
  await waitUntil(async () => (await complete()).status === 200)
  t.same(logins.asked, [], 'which is no reason to renew the login')
})

t.test('a refusal by upstream trades anew, and leaves the login alone', async (t: Test) => {
  const { vendor, logins, complete, row } = await open(t, SQLITE)
  t.equal((await complete()).status, 200)
  vendor.revoke()
  t.equal((await complete()).status, 200)
  t.equal(vendor.asked, 2)
  vendor.revoke()
  t.equal((await complete()).status, 401, 'once a minute')
  t.equal(vendor.asked, 2)
  t.same(logins.asked, [])
  t.match(await row(), { oauth_version: 1, oauth_state: 'active', last_error: null })
})

t.test('what its inputs say anew is traded anew, with the same login', async (t: Test) => {
  const { vendor, broker, configId, complete, row } = await open(t, SQLITE, {
    inputs: { project: { default: 'a' } },
    query: { project: '{project}' },
  })
  const { expected } = vendor
  vendor.expected = { ...expected, path: '/step?project=a' }
  t.equal((await complete()).status, 200)
  vendor.expected = { ...expected, path: '/step?project=b' }
  const put = await broker.admin('PUT', `/api/models/configs/${configId}`, { inputs: { project: 'b' } })
  t.match(put, { status: 200, body: { credential: { state: 'active' } } })
  t.equal((await complete()).status, 200)
  t.same([vendor.asked, vendor.complaints], [2, []])
  t.match(await row(), { oauth_version: 1 })
})
