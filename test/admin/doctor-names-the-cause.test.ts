/** Each row of the table of causes, against an endpoint that behaves so. */
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { CAUSES, type Cause } from '../../src/admin/causes.ts'
import type { Fault } from '../../src/sandbox/faults.ts'
import { startUpstream } from '../gateway/fixtures/upstream.ts'
import { startBroker } from '../support/broker.ts'
import { openTables } from '../support/tables.ts'

const json = (status: number, error: object) => (response: ServerResponse) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error }))
const html = (status: number) => (response: ServerResponse) =>
  response.writeHead(status, { 'content-type': 'text/html' }).end('<html>WAF</html>')
const works = (response: ServerResponse) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":[]}')

type Row = [seen: string, answer: (response: ServerResponse) => unknown, code: string]

const ROWS: Row[] = [
  ['a completion', works, 'none'],
  [
    'Your session has expired, or the token is no longer valid',
    json(401, { message: 'Your session has expired, or the token is no longer valid' }),
    'wrong_host',
  ],
  ['Incorrect API key provided', json(401, { message: 'Incorrect API key provided.' }), 'wrong_plan'],
  ['400 invalid_parameter_error', json(400, { code: 'invalid_parameter_error' }), 'request_refused'],
  ['HTML at 200', html(200), 'gateway_in_front'],
  ['a WAF page at 403', html(403), 'gateway_in_front'],
  ['504 HTML', html(504), 'gateway_in_front'],
  ['403 with a quota code', json(403, { code: 'quota_exceeded' }), 'quota'],
  ['429 with a quota code', json(429, { code: 'insufficient_quota' }), 'quota'],
  ['free allocated quota exceeded', json(403, { message: 'Free allocated quota exceeded.' }), 'quota'],
  ['429 without one', json(429, { code: 'too_many' }), 'rate_limited'],
  ['404', json(404, { code: 'model_not_found' }), 'model_unknown'],
  ['another 401', json(401, { message: 'no' }), 'key_refused'],
  ['a cut connection', (response) => response.destroy(), 'unreachable'],
]

t.test('by API key', async (t) => {
  const upstream = await startUpstream(t)
  const broker = await startBroker(t, {
    config: `allow_insecure_loopback: true\nproviders: { p: { credential: api_key, upstream: { base_url: "${upstream.origin}/v1" } } }`,
  })
  const config = await broker.admin('POST', '/api/models/configs', {
    name: 'c',
    provider: 'p',
    api_key: 'sk-upstream-canary-0123456789',
    models: [{ model_id: 'm' }],
  })
  for (const [seen, answer, code] of ROWS) {
    upstream.answer((request, response) => (request.url?.endsWith('/models') ? undefined : answer(response)))
    const { status, body } = await broker.admin('POST', `/api/models/configs/${config.body.id}/diagnose`)
    t.equal(status, 200)
    t.equal(body.code, code, `${seen} → ${code}`)
    t.equal(body.ok, code === 'none')
    t.match(body, { cause: /\w/, advice: /\w/, cause_zh: /\p{Script=Han}/u, advice_zh: /\p{Script=Han}/u })
    t.notMatch(JSON.stringify(body), /sk-upstream-canary/, 'the key does not show')
  }
  t.ok(
    upstream.calls.every(({ url }) => url === '/v1/chat/completions'),
    'an endpoint without /v1/models is no problem',
  )
})

t.test('by login: a refused token is refreshed once; refused again means not entitled', async (t) => {
  const broker = await startBroker(t)
  const { configId } = await broker.connect()
  const diagnose = async () => (await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)).body
  t.match(await diagnose(), { ok: true, code: 'none', upstream_status: 200 })

  await broker.sandbox.revokeAccessTokens()
  const grants = broker.sandbox.counts.refreshGrants
  t.match(await diagnose(), {
    ok: true,
    code: 'none',
    checks: [{}, {}, {}, {}, { name: 'refresh', ok: true }, {}],
  })
  t.equal(broker.sandbox.counts.refreshGrants, grants + 1)

  const refusal = { error: { message: 'invalid access token or token expired', code: 'invalid_api_key' } }
  broker.sandbox.faults.next('upstream', { status: 401, body: refusal }, 3)
  t.match(await diagnose(), { ok: false, code: 'not_entitled', upstream_status: 401 })
  broker.sandbox.faults.clear()

  await broker.sandbox.revokeFamilies()
  await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  t.match(await diagnose(), { ok: false, code: 'login_needed' })
})

t.test('by login: the same rows, for a token that came from the wrong place', async (t) => {
  const broker = await startBroker(t)
  const { configId } = await broker.connect()
  const message = (text: string) => ({ status: 401, body: { error: { message: text } } })
  const rows: [Fault, Cause][] = [
    [message('Your session has expired, or the token is no longer valid'), 'wrong_host'],
    [message('Incorrect API key provided.'), 'wrong_plan'],
    [{ status: 400, body: { error: { code: 'invalid_parameter_error' } } }, 'request_refused'],
    [{ status: 504, body: '<html>504</html>' }, 'gateway_in_front'],
    [{ status: 403, body: { error: { code: 'quota_exceeded' } } }, 'quota'],
  ]
  for (const [fault, code] of rows) {
    broker.sandbox.faults.next('upstream', fault)
    const { body } = await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)
    const { english, chinese, advice, adviceChinese } = CAUSES[code]
    t.match(body, { ok: false, code, upstream_status: fault.status }, code)
    t.match(body, { cause: english, cause_zh: chinese, advice, advice_zh: adviceChinese })
  }
  t.equal(broker.sandbox.counts.refreshGrants, 0, 'none of them is a reason to refresh')
})

t.test('a token that has ended while the authorization server sends pages of a gateway', async (t) => {
  const broker = await startBroker(t, { sandbox: { accessTokenSeconds: 1 } })
  const { configId } = await broker.connect()
  broker.sandbox.faults.next('refresh', { status: 504, body: '<html>504</html>' }, 9)
  await sleep(1_100)
  const { body } = await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)
  t.match(body, { ok: false, code: 'refresh_stuck', upstream_status: null })
  t.match(body.checks.at(-1), { name: 'refresh', ok: false })
})

t.test('a login for a host that is not allowed, and a provider without completions', async (t) => {
  const broker = await startBroker(t, { sandbox: { resourceUrl: 'evil.example.com' } })
  const { configId } = await broker.connect()
  const path = `/api/models/configs/${configId}/diagnose`
  t.match((await broker.admin('POST', path)).body, { ok: false, code: 'host_not_allowed' })

  const session = await broker.admin('POST', '/api/models/configs', {
    name: 'web',
    provider: 'qwen-chat',
    models: [],
    oauth_token: { access_token: 'session-token-0123456789', expires_at: Date.now() + 30 * 86_400_000 },
  })
  const answer = await broker.admin('POST', `/api/models/configs/${session.body.id}/diagnose`)
  t.match(answer.body, { ok: false, code: 'no_completions' })
})

t.test('a provider whose file is gone', async (t) => {
  const broker = await startBroker(t)
  const { configId } = await broker.connect()
  const database = openTables(t, broker, { kind: 'SQLite', url: 'sqlite:' })
  await database.run((db) => db.updateTable('model_configs').set({ provider: 'gone' }).execute())
  const answer = await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)
  t.match(answer.body, { ok: false, code: 'provider_missing', checks: [] })
})
