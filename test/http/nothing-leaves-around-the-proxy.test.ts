/** A broker behind a proxy: whatever it asks of the outside is seen at the proxy, and the proxy's password nowhere. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { startSandbox } from '../../src/sandbox/sandbox.ts'
import { sessionToken, startOpenWebUi } from '../seed/open-webui.ts'
import { type Broker, call, startBroker } from '../support/broker.ts'
import { selfSigned, trust } from '../support/certificates.ts'
import { type ConnectProxy, PROXY_PASSWORD, startProxy, startTls } from '../support/connect-proxy.ts'
import { waitUntil } from '../support/wait-until.ts'

const NAMES = ['login.example', 'model.example', 'chat.example', 'hooks.example']
const MODELS = [{ model_id: 'sandbox-model' }]
const HELLO = { model: 'sandbox-model', messages: [{ role: 'user', content: 'Hello' }] }
const CONFIG = JSON.stringify({
  providers: {
    far: {
      credential: 'device_code',
      authorization_server: {
        device_authorization_endpoint: 'https://login.example/oauth/device/code',
        token_endpoint: 'https://login.example/oauth/token',
        revocation_endpoint: 'https://login.example/oauth/revoke',
        client_id: 'token-broker-sandbox',
        scope: 'openid model.completion',
      },
      upstream: { base_url: 'https://model.example/v1' },
    },
    chat: {
      credential: 'session',
      session: { refresh_endpoint: 'https://chat.example/api/v1/auths/' },
      upstream: { base_url: 'https://chat.example/api' },
    },
    plain: { credential: 'api_key', upstream: { base_url: 'https://model.example/v1' } },
  },
})

interface World {
  readonly broker: Broker
  readonly proxy: ConnectProxy
  readonly hooks: string[]
  /** The names asked for while something is done, each once. */
  during(work: () => Promise<unknown>): Promise<string[]>
}

async function startWorld(t: Test): Promise<World> {
  const pair = selfSigned(NAMES)
  trust(t, pair)
  const sandbox = await startSandbox({ control: true })
  t.teardown(() => sandbox.close())
  const portOf = (origin: string) => Number(new URL(origin).port)
  const hooks: string[] = []
  const receiver = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request) body += piece
    hooks.push(body)
    response.writeHead(204).end()
  })
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
  t.teardown(() => receiver.close())
  const tls = await startTls(t, pair, {
    'login.example': portOf(sandbox.origin),
    'model.example': portOf(sandbox.origin),
    'chat.example': portOf((await startOpenWebUi(t, 7)).origin),
    'hooks.example': (receiver.address() as AddressInfo).port,
  })
  const proxy = await startProxy(t, Object.fromEntries(NAMES.map((name) => [`${name}:443`, tls])))
  const env = {
    HTTPS_PROXY: proxy.url,
    WEBHOOK_URL: 'https://hooks.example/hook',
    WEBHOOK_SECRET: 'webhook-secret-0123456789',
  }
  const broker = await startBroker(t, { config: CONFIG, env, shared: sandbox })
  const during = async (work: () => Promise<unknown>) => {
    const before = proxy.asked.length
    await work()
    // Events are told when their time comes.
    return [...new Set(proxy.asked.slice(before))].filter((name) => name !== 'hooks.example:443')
  }
  return { broker, proxy, hooks, during }
}

async function deviceLogin({ origin, sandbox }: Broker): Promise<string> {
  const started = await call(`${origin}/api/far/oauth/device-code`, 'POST', {})
  if (started.status !== 200) throw new Error(JSON.stringify(started.body))
  await sandbox.approve(started.body.user_code)
  const status = await call(`${origin}/api/far/oauth/status?session_id=${started.body.session_id}`, 'GET')
  if (status.body.status !== 'success') throw new Error(JSON.stringify(status.body))
  return started.body.session_id
}

t.test('completions, logins, sessions, webhooks, doctor', async (t) => {
  const { broker, proxy, hooks, during } = await startWorld(t)
  const { admin, origin } = broker
  const answers: string[] = []
  const say = (answer: { body: unknown }) => answers.push(JSON.stringify(answer.body))
  const create = (fields: object) =>
    admin('POST', '/api/models/configs', { models: MODELS, ...fields }).then(({ body }) => body.id as string)

  let sessionId = ''
  t.same(
    await during(async () => {
      sessionId = await deviceLogin(broker)
    }),
    ['login.example:443'],
    'a device login',
  )
  const far = await create({ name: 'far', provider: 'far', oauth_session_id: sessionId })
  const key = (await admin('POST', '/api/keys', { name: 'k', model_config_ids: [far] })).body.key
  const complete = async (stream: boolean) => {
    const answer = await call(`${origin}/v1/chat/completions`, 'POST', { ...HELLO, stream }, key)
    t.equal(answer.status, 200)
    say(answer)
  }
  t.same(await during(() => complete(false)), ['model.example:443'], 'a completion')
  await during(() => complete(true))
  t.same(
    await during(() => admin('POST', `/api/models/configs/${far}/refresh`).then(say)),
    ['login.example:443'],
    'a refresh',
  )
  t.same(
    await during(async () => {
      const { body } = await admin('POST', `/api/models/configs/${far}/diagnose`)
      t.equal(body.ok, true)
    }),
    ['model.example:443'],
    'doctor',
  )

  const token = { access_token: sessionToken(2) }
  const chat = await create({ name: 'chat', provider: 'chat', oauth_token: token })
  t.same(
    await during(async () => {
      const renewed = await admin('POST', `/api/models/configs/${chat}/refresh`)
      t.equal(renewed.body.credential.state, 'active')
    }),
    ['chat.example:443'],
    'a session renewal',
  )

  const test = { base_url: 'https://model.example/v1', api_key: 'sk-none', model_id: 'sandbox-model' }
  await admin('POST', '/api/models/configs/test-connection', test).then(say)
  t.match(answers.at(-1), /status 401/, 'the connection test: nothing else knows the name')

  await broker.sandbox.revokeFamilies()
  await admin('POST', `/api/models/configs/${far}/refresh`).then(say)
  await waitUntil(() => hooks.length > 0)
  t.ok(proxy.asked.includes('hooks.example:443'), 'a webhook')

  proxy.answer = 'HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'
  const plain = await create({
    name: 'plain',
    provider: 'plain',
    api_key: 'sk-x',
    base_url: 'https://elsewhere.example/v1',
  })
  const plainKey = (await admin('POST', '/api/keys', { name: 'p', model_config_ids: [plain] })).body.key
  const refused = await call(`${origin}/v1/chat/completions`, 'POST', HELLO, plainKey)
  t.equal(refused.status, 502)
  t.equal(refused.body.error.code, 'upstream_unreachable')
  say(refused)
  const refreshed = await admin('POST', `/api/models/configs/${chat}/refresh`)
  t.not(refreshed.body.credential?.state, 'uncertain', 'a refused tunnel is no lost answer')
  await admin('POST', `/api/models/configs/${plain}/diagnose`).then(say)
  await admin('POST', '/api/models/configs/test-connection', { ...test, base_url: 'https://b.example' }).then(
    say,
  )

  t.match(broker.log.join(''), /"detail":"proxy_refused 407"/)
  for (const secret of [
    PROXY_PASSWORD,
    encodeURIComponent(PROXY_PASSWORD),
    Buffer.from(PROXY_PASSWORD).toString('base64').slice(2, -4),
  ])
    for (const text of [...broker.log, ...answers, ...hooks])
      t.notOk(text.includes(secret), 'the password shows nowhere')
})
