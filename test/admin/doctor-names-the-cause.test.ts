/** Each row of the table of causes, against an endpoint that behaves so. */
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { CAUSES, type Cause } from '../../src/admin/causes.ts'
import type { Fault } from '../../src/sandbox/faults.ts'
import { startUpstream } from '../gateway/fixtures/upstream.ts'
import { call, startBroker } from '../support/broker.ts'
import { openTables } from '../support/tables.ts'

const json = (status: number, error: object) => (response: ServerResponse) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error }))
const bare = (status: number, body: object) => (response: ServerResponse) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
const html = (status: number) => (response: ServerResponse) =>
  response.writeHead(status, { 'content-type': 'text/html' }).end('<html>WAF</html>')
const works = (response: ServerResponse) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":[]}')

type Row = [seen: string, answer: (response: ServerResponse) => unknown, code: string]

const MORE = 'For details, see: https://help.aliyun.com/zh/model-studio/error-code'
const INVALID = 'invalid_request_error'
/** As Model Studio words them: its own API, the OpenAI-compatible one, the Coding Plan; and how others do. */
const MODEL_STUDIO: Row[] = [
  [
    'a wrong key',
    json(401, {
      message: `Incorrect API key provided. ${MORE}#apikey-error`,
      type: INVALID,
      code: 'invalid_api_key',
    }),
    'wrong_key',
  ],
  [
    'a wrong key, native',
    bare(401, { code: 'InvalidApiKey', message: 'Invalid API-key provided.' }),
    'wrong_key',
  ],
  ['a wrong key, Coding Plan', json(401, { message: 'invalid access token or token expired' }), 'wrong_key'],
  ['a Coding Plan key elsewhere', json(403, { message: 'invalid api-key' }), 'wrong_key'],
  [
    'the free quota alone',
    json(403, {
      message:
        'The free tier of the model has been exhausted. If you wish to continue access the model on a paid basis, please disable the "use free tier only" mode in the management console.',
      type: 'AllocationQuota.FreeTierOnly',
      param: null,
      code: 'AllocationQuota.FreeTierOnly',
    }),
    'free_quota',
  ],
  [
    'the free quota alone, native',
    bare(403, { code: 'AllocationQuota.FreeTierOnly', message: 'x' }),
    'free_quota',
  ],
  [
    'arrears',
    json(400, {
      code: 'Arrearage',
      param: null,
      message: 'Access denied, please make sure your account is in good standing.',
      type: 'Arrearage',
    }),
    'arrears',
  ],
  [
    'an overdue bill',
    json(429, { code: 'PostpaidBillOverdue', message: 'The postpaid bill is overdue.' }),
    'arrears',
  ],
  ['402', json(402, { message: 'Insufficient Balance' }), 'arrears'],
  [
    'a model the workspace may not use',
    bare(403, { code: 'Model.AccessDenied', message: 'Model access denied.' }),
    'model_denied',
  ],
  [
    'a workspace the key is not of',
    json(403, {
      message: 'Workspace access denied.',
      type: 'Workspace.AccessDenied',
      code: 'Workspace.AccessDenied',
    }),
    'model_denied',
  ],
  [
    'a service that was never activated',
    bare(403, {
      code: 'AccessDenied.Unpurchased',
      message: 'Access to model denied. Please make sure you are eligible for using the model.',
    }),
    'not_activated',
  ],
  [
    'a model that is not there',
    json(404, {
      code: 'model_not_found',
      message: 'The model `qwen9` does not exist or you do not have access to it.',
    }),
    'model_unknown',
  ],
  [
    'too many at once',
    json(429, { code: 'Throttling.RateQuota', message: 'Requests rate limit exceeded.' }),
    'rate_limited',
  ],
  [
    'the quota of tokens',
    json(429, {
      code: 'Throttling.AllocationQuota',
      message: 'Allocated quota exceeded, please increase your quota limit.',
    }),
    'quota',
  ],
]

/** As other endpoints of OpenAI's shape have it. */
const OTHERS: Row[] = [
  [
    'a wrong key, OpenAI',
    json(401, {
      message: 'Incorrect API key provided: sk-upstr******6789. You can find your API key at …',
      type: 'invalid_request_error',
      param: null,
      code: 'invalid_api_key',
    }),
    'wrong_key',
  ],
  [
    'a wrong key, Anthropic',
    json(401, { type: 'authentication_error', message: 'invalid x-api-key' }),
    'wrong_key',
  ],
  [
    'a wrong key, Gemini',
    (response) =>
      bare(400, [
        {
          error: {
            code: 400,
            message: 'API key not valid. Please pass a valid API key.',
            status: 'INVALID_ARGUMENT',
            details: [{ '@type': 'x', reason: 'API_KEY_INVALID' }],
          },
        },
      ])(response),
    'wrong_key',
  ],
  [
    'a wrong key, xAI',
    bare(400, { code: 'Client specified an invalid argument', error: 'Incorrect API key provided: sk***.' }),
    'wrong_key',
  ],
  [
    'no money, Anthropic',
    json(400, { type: 'invalid_request_error', message: 'Your credit balance is too low' }),
    'arrears',
  ],
  ['no money, OpenAI', json(429, { code: 'insufficient_quota', type: 'insufficient_quota' }), 'quota'],
  ['no billing, OpenAI', json(429, { code: 'billing_not_active' }), 'arrears'],
]

const ROWS: Row[] = [
  ['a completion', works, 'none'],
  [
    'Your session has expired, or the token is no longer valid',
    json(401, { message: 'Your session has expired, or the token is no longer valid' }),
    'wrong_host',
  ],
  ...MODEL_STUDIO,
  ...OTHERS,
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

t.test(
  'by login: whatever the words of a refusal, a fresh token is tried before anything is said',
  async (t) => {
    for (const text of [
      'Your session has expired, or the token is no longer valid',
      'Incorrect API key provided.',
      'invalid access token or token expired',
    ]) {
      const broker = await startBroker(t)
      const { configId, key } = await broker.connect()
      broker.sandbox.faults.next('upstream', { status: 401, body: { error: { message: text } } })
      const { body } = await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)
      t.match(body, { ok: true, code: 'none', upstream_status: 200 }, text)
      t.equal(broker.sandbox.counts.refreshGrants, 1)
      const messages = [{ role: 'user', content: 'hi' }]
      const chat = { model: 'sandbox-model', messages }
      t.equal(
        (await call(`${broker.origin}/v1/chat/completions`, 'POST', chat, key)).status,
        200,
        'as the next call',
      )
      await broker.close()
    }
  },
)

t.test('by login: a fresh token that is refused in these words came to the wrong host', async (t) => {
  const rows: [string, Cause][] = [
    ['Your session has expired, or the token is no longer valid', 'wrong_host'],
    ['Incorrect API key provided.', 'wrong_host'],
    ['invalid access token or token expired', 'not_entitled'],
  ]
  for (const [text, code] of rows) {
    const broker = await startBroker(t)
    const { configId } = await broker.connect()
    for (const time of ['at first', 'and when asked again']) {
      broker.sandbox.faults.next('upstream', { status: 401, body: { error: { message: text } } }, 2)
      const { body } = await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)
      t.match(body, { ok: false, code, upstream_status: 401 }, `${text}, ${time}`)
      broker.sandbox.faults.clear()
    }
    t.equal(broker.sandbox.counts.refreshGrants, 1, 'refreshed once')
    await broker.close()
  }
})

t.test('by login: other answers are no reason to refresh', async (t) => {
  const broker = await startBroker(t)
  const { configId } = await broker.connect()
  const rows: [Fault, Cause][] = [
    [{ status: 400, body: { error: { code: 'invalid_parameter_error' } } }, 'request_refused'],
    [{ status: 504, body: '<html>504</html>' }, 'gateway_in_front'],
    [{ status: 403, body: { error: { code: 'quota_exceeded' } } }, 'quota'],
    [{ status: 403, body: { error: { message: 'invalid api-key' } } }, 'wrong_host'],
  ]
  for (const [fault, code] of rows) {
    broker.sandbox.faults.next('upstream', fault)
    const { body } = await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)
    const { english, chinese, advice, adviceChinese } = CAUSES[code]
    t.match(body, { ok: false, code, upstream_status: fault.status }, code)
    t.match(body, { cause: english, cause_zh: chinese, advice, advice_zh: adviceChinese })
  }
  t.equal(broker.sandbox.counts.refreshGrants, 0)
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

t.test('a login for a host that is not allowed', async (t) => {
  const broker = await startBroker(t, { sandbox: { resourceUrl: 'evil.example.com' } })
  const { configId } = await broker.connect()
  const path = `/api/models/configs/${configId}/diagnose`
  t.match((await broker.admin('POST', path)).body, { ok: false, code: 'host_not_allowed' })
})

t.test('a provider whose file is gone', async (t) => {
  const broker = await startBroker(t)
  const { configId } = await broker.connect()
  const database = openTables(t, broker, { kind: 'SQLite', url: 'sqlite:' })
  await database.run((db) => db.updateTable('model_configs').set({ provider: 'gone' }).execute())
  const answer = await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)
  t.match(answer.body, { ok: false, code: 'provider_missing', checks: [] })
})
