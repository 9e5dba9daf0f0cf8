/** Upstream refuses the token and no refresh is possible just now: the client is told to come back, not to give up. */
import t, { type Test } from 'tap'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { type Broker, startBroker } from '../support/broker.ts'
import { onEachDatabase, onMysql } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { ask, type WireAnswer } from './fixtures/client.ts'
import { type LoggedIn, logIn, trace } from './fixtures/sandbox-calls.ts'
import { TROUBLES } from './fixtures/troubles.ts'
import { addConfig, addKey, json, startUpstream } from './fixtures/upstream.ts'

function isComeBackSoon(t: Test, answer: WireAnswer, name = ''): void {
  t.equal(answer.status, 503, name)
  t.equal(JSON.parse(answer.body.toString()).error.code, 'refresh_unavailable', name)
  const seconds = Number(answer.headers['retry-after'])
  t.ok(seconds >= 1 && seconds <= 60, `Retry-After: ${answer.headers['retry-after']}`)
  t.not(answer.headers['x-should-retry'], 'false')
}

for (const [name, fault] of Object.entries(TROUBLES)) {
  t.test(`an authorization server that ${name}`, async (t) => {
    const { broker, chat, upload } = await logIn(t)
    await broker.sandbox.revokeAccessTokens()
    broker.sandbox.faults.next('refresh', fault, 50)
    isComeBackSoon(t, await chat())
    isComeBackSoon(t, await chat(), 'also the next call, which asks nobody')
    isComeBackSoon(t, await upload(), 'also where the body cannot be sent again')
    t.ok(broker.sandbox.counts.refreshRequests <= 2, 'not a refresh a call')
  })
}

t.test('one that hangs: within 12 s in all, also over several configs', async (t) => {
  const { broker, configId, chat } = await logIn(t)
  await broker.sandbox.revokeAccessTokens()
  broker.sandbox.faults.next('refresh', { hang: true }, 50)
  const startedAt = performance.now()
  isComeBackSoon(t, await chat())
  const ms = performance.now() - startedAt
  t.ok(ms < 20_000, `${Math.round(ms)} ms`) // each its own 12 s: 24 s
  t.equal((await broker.admin('GET', `/api/models/configs/${configId}`)).body.credential.state, 'uncertain')
})

onEachDatabase(t, 'a lease that another process holds for too long', async (t, kind) => {
  const broker = await startBroker(t, { databaseUrl: kind.url, sandbox: { accessTokenSeconds: 3_600 } })
  const { key, configId } = await broker.connect()
  await broker.sandbox.revokeAccessTokens()
  const lease = {
    oauth_state: 'refreshing',
    lease_owner: 'other',
    lease_until: Date.now() + 60_000,
    attempt_id: 'a',
  }
  await openTables(t, broker, kind).run((db) =>
    db.updateTable('model_configs').set(lease).where('id', '=', configId).execute(),
  )
  isComeBackSoon(t, await chatOf(broker, key))
})

onMysql(t, 'a database that is away', async (t, kind) => {
  const proxy = await TcpProxy.to(kind.url)
  t.teardown(() => proxy.close())
  const broker = await startBroker(t, {
    databaseUrl: proxy.via(kind.url),
    sandbox: { accessTokenSeconds: 3_600 },
  })
  const { key } = await broker.connect()
  t.equal((await chatOf(broker, key)).status, 200)
  await broker.sandbox.revokeAccessTokens()
  proxy.drop()
  isComeBackSoon(t, await chatOf(broker, key))
  proxy.heal('late')
})

const chatOf = (broker: Broker, key: string) =>
  ask(`${broker.origin}/v1/chat/completions`, {
    key,
    body: { model: 'sandbox-model', messages: [{ role: 'user', content: 'hi' }] },
  })

t.test('the next call after the server came back is answered', async (t) => {
  const { broker, chat }: LoggedIn = await logIn(t)
  await broker.sandbox.revokeAccessTokens()
  broker.sandbox.faults.next('refresh', { status: 429, body: {}, headers: { 'retry-after': '1' } })
  const refused = await chat()
  isComeBackSoon(t, refused)
  const pauseMs = Number(refused.headers['retry-after']) * 1_000
  await new Promise((resolve) => setTimeout(resolve, pauseMs + 100))
  const answer = await chat()
  t.equal(answer.status, 200)
  t.equal(trace(answer), 'config=practice; attempt=2; refresh=forced')
})

t.test('another config is asked first, and its 401 does not hide that coming back helps', async (t) => {
  const upstream = await startUpstream(t)
  const file = `  other: { credential: api_key, upstream: { base_url: "${upstream.origin}/v1" } }`
  const broker = await startBroker(t, {
    config: `allow_insecure_loopback: true\nproviders:\n${file}\n`,
    sandbox: { accessTokenSeconds: 3_600 },
  })
  const { configId } = await broker.connect()
  const other = await addConfig(broker, { name: 'other', provider: 'other', models: ['sandbox-model'] })
  for (const ids of [
    [configId, other],
    [other, configId],
  ]) {
    const key = await addKey(broker, { model_config_ids: ids })
    await broker.sandbox.revokeAccessTokens()
    broker.sandbox.faults.next('refresh', { status: 429, body: {} }, 50)
    upstream.answer((_, response) => json(response, { from: 'other' }))
    t.match((await chatOf(broker, key)).body.toString(), /from/, 'another can answer')
    upstream.answer((_, response) => json(response, { error: { code: 'wrong_key' } }, 401))
    isComeBackSoon(t, await chatOf(broker, key), `in the order ${ids.indexOf(configId)}`)
    broker.sandbox.faults.clear()
  }
})
