import t from 'tap'
import { waitUntil } from '../support/wait-until.ts'
import { ask } from './fixtures/client.ts'
import { logIn, trace } from './fixtures/sandbox-calls.ts'
import { json, setUp } from './fixtures/upstream.ts'

/** As portal.qwen.ai words it for accounts that are not entitled. */
const REFUSAL = {
  status: 401,
  body: { error: { code: 'x', message: 'invalid access token or token expired' } },
}

t.test('a refused token is renewed once and the call sent once more', async (t) => {
  const { broker, chat } = await logIn(t)
  const { counts } = broker.sandbox
  await broker.sandbox.revokeAccessTokens()
  const answer = await chat()
  t.equal(answer.status, 200)
  t.match(answer.body.toString(), /You said: “hi”/)
  t.equal(trace(answer), 'config=practice; attempt=2; refresh=forced')
  t.match(counts, {
    upstreamCalls: 2,
    unauthorized: 1,
    refreshRequests: 1,
    refreshGrants: 1,
    reusesDetected: 0,
  })
  t.equal(trace(await chat()), 'config=practice; attempt=1; refresh=none')
  t.equal(counts.upstreamCalls, 3)
  t.match((await broker.admin('GET', '/metrics')).body, /^token_broker_replays_total 1$/m)
})

t.test('many callers refused at once share one refresh', async (t) => {
  const { broker, chat } = await logIn(t)
  await broker.sandbox.revokeAccessTokens()
  const answers = await Promise.all(Array.from({ length: 50 }, chat))
  t.same(new Set(answers.map((answer) => answer.status)), new Set([200]))
  t.match(broker.sandbox.counts, { refreshRequests: 1, familiesRevoked: 0 })
})

t.test('the same bytes are sent the second time', async (t) => {
  const { broker, key } = await logIn(t)
  await broker.sandbox.revokeAccessTokens()
  const body = JSON.stringify({ model: 'practice/sandbox-embedding', input: 'x'.repeat(100_000) })
  const headers = { 'content-type': 'application/json' }
  const answer = await ask(`${broker.origin}/v1/embeddings`, { key, body, headers })
  t.equal(answer.status, 200)
  t.equal(broker.sandbox.counts.lastUpstreamRequest?.bodyBytes, body.length - 'practice/'.length)
})

t.test('a refusal of any length is let go of', async (t) => {
  const { broker, chat } = await logIn(t)
  broker.sandbox.faults.next('upstream', { status: 401, body: 'x'.repeat(30 * 1024 * 1024) })
  t.equal((await chat()).status, 200)
  await waitUntil(() => broker.sandbox.counts.upstreamCancelled === 1)
})

t.test('a body that was passed on while it arrived cannot be sent again', async (t) => {
  const { broker, upload } = await logIn(t)
  const { counts } = broker.sandbox
  await broker.sandbox.revokeAccessTokens()
  const refused = await upload()
  t.equal(refused.status, 503, 'after which clients try again, as they do not after 401')
  t.match(JSON.parse(refused.body.toString()).error, {
    code: 'refresh_unavailable',
    message: /send the call again/,
  })
  t.equal(refused.headers['retry-after'], '1')
  t.match(counts, { upstreamCalls: 1, refreshRequests: 1 })
  const retried = await upload()
  t.equal(retried.status, 200, 'with the token that was renewed meanwhile')
  t.match(counts, { upstreamCalls: 2, refreshRequests: 1 })
})

t.test("a fresh token that is refused too: upstream's 401 comes back, without a loop", async (t) => {
  const { broker, configId, chat } = await logIn(t)
  const { counts, faults } = broker.sandbox
  faults.next('upstream', REFUSAL, 6)
  const first = await chat()
  t.equal(first.status, 401)
  t.same(JSON.parse(first.body.toString()), REFUSAL.body)
  t.match(counts, { upstreamCalls: 2, refreshRequests: 1 })
  for (let calls = 3; calls <= 6; calls += 1) {
    t.equal((await chat()).status, 401)
    t.match(counts, { upstreamCalls: calls, refreshRequests: 1 }, 'no second refresh, no second try')
  }
  const { body } = await broker.admin('GET', `/api/models/configs/${configId}`)
  t.equal(body.credential.state, 'active', 'nothing is cleared')
  t.equal((await chat()).status, 200)
})

t.test(
  'a token that ran out while upstream had the call is renewed, also if a refusal had brought it',
  async (t) => {
    const lifeMs = 2_000
    const { broker, chat } = await logIn(t, lifeMs / 1_000)
    const { faults } = broker.sandbox
    await broker.sandbox.revokeAccessTokens()
    t.equal(trace(await chat()), 'config=practice; attempt=2; refresh=forced')
    faults.next('upstream', { ...REFUSAL, delayMs: lifeMs })
    const answer = await chat()
    t.equal(answer.status, 200)
    t.equal(trace(answer), 'config=practice; attempt=2; refresh=forced')
  },
)

t.test('a token that somebody else renewed is used without a refresh', async (t) => {
  const { broker, configId, chat } = await logIn(t)
  const { counts } = broker.sandbox
  await chat()
  await broker.sandbox.revokeAccessTokens()
  t.equal((await broker.admin('POST', `/api/models/configs/${configId}/refresh`)).status, 200)
  const answer = await chat()
  t.equal(answer.status, 200)
  t.equal(counts.refreshRequests, 1)
})

t.test('a login that is really over is said so, with how to mend it', async (t) => {
  const { broker, configId, chat } = await logIn(t)
  await broker.sandbox.revokeFamilies()
  for (let count = 0; count < 2; count += 1) {
    const answer = await chat()
    t.equal(answer.status, 401)
    t.equal(answer.headers['x-should-retry'], 'false')
    const { error } = JSON.parse(answer.body.toString())
    t.match(error, { code: 'credential_reauth_required', type: 'authentication_error' })
    t.match(error.message, /认证失败，请重新登录.*Log in again/)
  }
  const { body } = await broker.admin('GET', `/api/models/configs/${configId}`)
  t.match(body.credential, { state: 'reauth_required', next_action: 'login', expires_at: null })
  t.equal(broker.sandbox.counts.refreshRequests, 1)
})

t.test('an API key that is refused is passed on: there is nothing to renew', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  upstream.answer((_, response) => json(response, { error: { code: 'wrong_key' } }, 401))
  const answer = await ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
  t.equal(answer.status, 401)
  t.match(answer.body.toString(), /wrong_key/)
  t.equal(upstream.calls.length, 1)
})
