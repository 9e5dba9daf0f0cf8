/** `POST /api/models/configs/{id}/token`: who may have a token itself, and what is written down of it. */
import t, { type Test } from 'tap'
import { sessionsAt, sessionToken, startOpenWebUi } from '../seed/open-webui.ts'
import { ADMIN_TOKEN, type Answer, type Broker, call, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { CONFIGS, KEYS, keyConfig } from './fixtures/management.ts'

const ALLOWED = { ALLOW_TOKEN_READING: 'true' }
const reads = async (broker: Broker) => (await broker.admin('GET', '/api/audit?type=token')).body.items

onEachDatabase(t, 'the admin token reads it, refreshed if due, and the audit says so', async (t, { url }) => {
  const broker = await startBroker(t, {
    databaseUrl: url,
    env: ALLOWED,
    sandbox: { accessTokenSeconds: 3_600 },
  })
  const { configId } = await broker.connect()
  const read = () => broker.admin('POST', `${CONFIGS}/${configId}/token`)
  const first = await read()
  t.equal(first.status, 200)
  t.equal(first.headers.get('cache-control'), 'no-store')
  t.same(Object.keys(first.body).sort(), ['access_token', 'expires_at', 'token_type'])
  t.equal(first.body.token_type, 'Bearer')
  const item = (await broker.admin('GET', `${CONFIGS}/${configId}`)).body
  t.equal(first.body.expires_at, item.credential.expires_at)
  const models = { authorization: `Bearer ${first.body.access_token}` }
  t.equal(
    (await fetch(`${broker.sandbox.origin}/v1/models`, { headers: models })).status,
    200,
    'it is the real one',
  )
  t.equal((await read()).body.access_token, first.body.access_token)
  t.equal(broker.sandbox.counts.refreshGrants, 0, 'not refreshed for being read')
  const items = await reads(broker)
  t.equal(items.length, 2, 'each time')
  t.match(items[0], { type: 'token.read', actor: 'admin token', address: '127.0.0.1', config_id: configId })
})

t.test('one that is due is refreshed first, and one that cannot be says why', async (t) => {
  const broker = await startBroker(t, { env: ALLOWED, sandbox: { accessTokenSeconds: 1 } })
  const { configId } = await broker.connect()
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  const answer = await broker.admin('POST', `${CONFIGS}/${configId}/token`)
  t.equal(answer.status, 200)
  t.ok(broker.sandbox.counts.refreshGrants >= 1)
  await broker.sandbox.revokeFamilies()
  await broker.admin('POST', `${CONFIGS}/${configId}/refresh`)
  const dead = await broker.admin('POST', `${CONFIGS}/${configId}/token`)
  t.match(dead, { status: 401, body: { code: 'credential_reauth_required' } })
  t.equal((await reads(broker)).length, 1, 'what was not handed out was not read')
})

async function withSession(t: Test, daysLeft: number, renewsForDays: number) {
  const server = await startOpenWebUi(t, renewsForDays)
  const broker = await startBroker(t, {
    env: ALLOWED,
    config: sessionsAt(server),
  })
  const token = sessionToken(daysLeft)
  const config = { name: 'web', provider: 'qwen-chat', models: [], oauth_token: { access_token: token } }
  const { id } = (await broker.admin('POST', CONFIGS, config)).body
  return { token, server, read: () => broker.admin('POST', `${CONFIGS}/${id}/token`) }
}

t.test('a session that serves no completions: the renewed token can be used', async (t) => {
  const { token, read, server } = await withSession(t, 2, 7)
  const answer = await read()
  t.equal(answer.status, 200)
  t.not(answer.body.access_token, token)
  t.equal(server.renewals.length, 1)
  t.equal(Math.round((answer.body.expires_at - Date.now()) / 86_400_000), 7)
  t.equal((await read()).body.access_token, answer.body.access_token)
})

t.test('a session that its server does not extend is handed out as long as it is valid', async (t) => {
  const { token, read } = await withSession(t, 2, 0)
  for (let i = 0; i < 2; i += 1) t.match(await read(), { status: 200, body: { access_token: token } })
})

t.test('who may not', async (t) => {
  const broker = await startBroker(t, { env: ALLOWED })
  const { configId, key } = await broker.connect()
  const path = `${CONFIGS}/${configId}/token`
  const signedIn = await call(`${broker.origin}/api/session`, 'POST', { token: ADMIN_TOKEN })
  const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? ''
  const headers = { cookie, 'x-csrf-token': signedIn.body.csrf_token }
  const console_ = await fetch(broker.origin + path, { method: 'POST', headers })
  t.equal(console_.status, 403)
  t.match(await console_.json(), { code: 'token_reading_not_allowed', detail: /管理员令牌/ })
  t.equal(
    (await call(broker.origin + path, 'POST', undefined, key)).status,
    401,
    'a broker key manages nothing',
  )
  t.equal((await call(broker.origin + path, 'POST')).status, 401)
  t.match(await broker.admin('POST', `${CONFIGS}/none/token`), {
    status: 404,
    body: { code: 'config_not_found' },
  })
  const { id } = (await broker.admin('POST', CONFIGS, keyConfig('a key'))).body
  t.match(await broker.admin('POST', `${CONFIGS}/${id}/token`), {
    status: 409,
    body: { code: 'no_token', detail: /API 密钥/ },
  })
  t.same(await reads(broker), [])
})

t.test('nobody, unless the operator allows it', async (t) => {
  const broker = await startBroker(t)
  const { configId } = await broker.connect()
  t.match(await broker.admin('POST', `${CONFIGS}/${configId}/token`), {
    status: 403,
    body: { code: 'token_reading_disabled', message: /ALLOW_TOKEN_READING=true/ },
  })
})

onEachDatabase(t, 'a broker key that may reads those of its own configs', async (t, { url }) => {
  const broker = await startBroker(t, { databaseUrl: url, env: ALLOWED })
  const [mine, other] = [await broker.connect('mine'), await broker.connect('other')]
  const keyed = keyConfig('keyed')
  const { id: keyedId } = (await broker.admin('POST', CONFIGS, keyed)).body
  const makeKey = async (fields: object) =>
    (
      await broker.admin('POST', KEYS, {
        name: 'reader',
        model_config_ids: [mine.configId, keyedId],
        ...fields,
      })
    ).body
  const read = (key: string | undefined, config = 'mine') =>
    call(`${broker.origin}/api/token`, 'POST', { config }, key)

  const made = await makeKey({ may_read_tokens: true })
  t.equal(made.may_read_tokens, true)
  const answer = await read(made.key)
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  const models = { authorization: `Bearer ${answer.body.access_token}` }
  t.equal((await fetch(`${broker.sandbox.origin}/v1/models`, { headers: models })).status, 200)
  const [entry] = await reads(broker)
  t.match(entry, {
    actor: 'api key',
    address: '127.0.0.1',
    key_id: made.id,
    key_name: 'reader',
    config_name: 'mine',
  })

  const refused: [string, Promise<Answer>, object][] = [
    ['of another config', read(made.key, 'other'), { status: 404, body: { code: 'config_not_found' } }],
    ['of none', read(made.key, 'none'), { status: 404, body: { code: 'config_not_found' } }],
    ['an API key', read(made.key, 'keyed'), { status: 409, body: { code: 'no_token' } }],
    ['a key that may not', read(mine.key), { status: 403, body: { code: 'token_reading_not_allowed' } }],
    [
      'a key limited to models, which a token is not',
      read((await makeKey({ may_read_tokens: true, models: ['sandbox-model'] })).key),
      { status: 403, body: { code: 'token_reading_not_allowed' } },
    ],
    ['no key', read(undefined), { status: 401, body: { code: 'invalid_api_key' } }],
    ['no broker key', read(ADMIN_TOKEN), { status: 401, body: { code: 'invalid_api_key' } }],
    ['a guess', read(`sk-tb-${'A'.repeat(43)}`), { status: 401, body: { code: 'invalid_api_key' } }],
    [
      'no config named',
      call(`${broker.origin}/api/token`, 'POST', {}, made.key),
      { status: 422, body: { code: 'invalid_request' } },
    ],
  ]
  for (const [what, call, expected] of refused) t.match(await call, expected, what)
  await broker.admin('PATCH', `${CONFIGS}/${mine.configId}/status?is_active=false`)
  t.equal((await read(made.key)).status, 404, 'a config that is switched off')
  await broker.admin('PATCH', `${CONFIGS}/${mine.configId}/status?is_active=true`)
  await broker.admin('PATCH', `${KEYS}/${made.id}`, { may_read_tokens: false })
  t.equal((await read(made.key)).status, 403, 'a right that was taken back')
  t.equal((await reads(broker)).length, 1)
  t.ok(other.configId)
  const limited = await makeKey({ may_read_tokens: true, requests_per_minute: 1 })
  t.equal((await read(limited.key)).status, 200)
  t.equal((await read(limited.key)).status, 429)
})

t.test('a broker key neither, unless the operator allows it', async (t) => {
  const broker = await startBroker(t)
  const { configId } = await broker.connect('mine')
  const fields = { name: 'reader', model_config_ids: [configId], may_read_tokens: true }
  const { key } = (await broker.admin('POST', KEYS, fields)).body
  const answer = await call(`${broker.origin}/api/token`, 'POST', { config: 'mine' }, key)
  t.match(answer, { status: 403, body: { code: 'token_reading_disabled' } })
})
