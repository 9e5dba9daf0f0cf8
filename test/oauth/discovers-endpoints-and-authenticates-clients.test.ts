/** `issuer` instead of endpoints, and tokens for a client of its own, against a server that is not ours. */
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { type Broker, call, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { freePort } from '../support/free-port.ts'
import {
  CONFIDENTIAL_CLIENT,
  CONFIDENTIAL_SECRET,
  PUBLIC_CLIENT,
  SCOPE,
  startIndependentServer,
} from '../support/oidc-provider.ts'
import { waitUntil } from '../support/wait-until.ts'

/** A model endpoint that takes any bearer and streams who it was. */
async function startEndpoint(t: Test, handler?: (body: string, headers: object) => object): Promise<string> {
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const answer = handler?.(text, request.headers)
    if (answer) {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(`data: {"bearer":${request.headers.authorization !== undefined}}\n\ndata: [DONE]\n\n`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const provider = (fields: object, upstream: string) =>
  JSON.stringify({
    allow_insecure_loopback: true,
    providers: { p: { ...fields, upstream: { base_url: upstream } } },
  })

async function addConfig(
  broker: Broker,
  fields: object = {},
): Promise<{ id: string; stream: () => Promise<string> }> {
  const config = await broker.admin('POST', '/api/models/configs', {
    name: 'c',
    provider: 'p',
    models: [{ model_id: 'm' }],
    ...fields,
  })
  if (config.status !== 201) throw new Error(JSON.stringify(config.body))
  const key = (await broker.admin('POST', '/api/keys', { name: 'k', model_config_ids: [config.body.id] }))
    .body.key
  const body = { model: 'm', stream: true, messages: [] }
  return {
    id: config.body.id,
    stream: async () => (await call(`${broker.origin}/v1/chat/completions`, 'POST', body, key)).body,
  }
}

t.test('device flow with nothing but an issuer, and the grant revoked when the config goes', async (t) => {
  const server = await startIndependentServer(t)
  const authorization_server = { issuer: server.issuer, client_id: PUBLIC_CLIENT, scope: SCOPE }
  const broker = await startBroker(t, {
    config: provider({ credential: 'device_code', authorization_server }, `${await startEndpoint(t)}/v1`),
  })
  const started = (await call(`${broker.origin}/api/p/oauth/device-code`, 'POST')).body
  await server.approve(started.verification_uri_complete)
  const status = await call(`${broker.origin}/api/p/oauth/status?session_id=${started.session_id}`, 'GET')
  t.equal(status.body.status, 'success')
  const { id, stream } = await addConfig(broker, { oauth_session_id: started.session_id })
  t.equal(await stream(), 'data: {"bearer":true}\n\ndata: [DONE]\n\n')
  const { access_token } = status.body.token
  t.equal((await server.introspect(access_token)).active, true)
  t.equal((await broker.admin('DELETE', `/api/models/configs/${id}`)).status, 204)
  t.equal((await server.introspect(access_token)).active, false)
})

onEachDatabase(
  t,
  'client credentials are fetched when first needed and renewed like any other',
  async (t, { url }) => {
    const server = await startIndependentServer(t, { accessTokenSeconds: 6 })
    const seen = new Set<string>()
    const endpoint = await startEndpoint(t, (_, headers) => {
      seen.add((headers as { authorization: string }).authorization)
      return { ok: true }
    })
    const authorization_server = {
      issuer: server.issuer,
      client_id: CONFIDENTIAL_CLIENT,
      client_secret: 'env:P_SECRET',
      scope: 'model.completion',
    }
    const broker = await startBroker(t, {
      databaseUrl: url,
      env: { P_SECRET: CONFIDENTIAL_SECRET },
      config: provider({ credential: 'client_credentials', authorization_server }, `${endpoint}/v1`),
    })
    const { id, stream } = await addConfig(broker)
    t.same(await stream(), { ok: true })
    const item = (await broker.admin('GET', `/api/models/configs/${id}`)).body
    t.match(item, {
      base_url: '',
      credential: { kind: 'client_credentials', state: /active|refreshing/, next_action: /none|wait/ },
    })
    await waitUntil(async () => {
      t.same(await stream(), { ok: true })
      return seen.size > 1
    })
  },
)

t.test('the secret in the body, or a signed assertion, where the server wants that', async (t) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const ways = [
    { client_secret: 's3cret', client_authentication: 'client_secret_basic' },
    { client_secret: 's3cret', client_authentication: 'client_secret_post' },
    { private_key: pem, key_id: 'k1', client_authentication: 'private_key_jwt' },
  ]
  for (const way of ways) {
    const requests: { body: URLSearchParams; authorization: string | undefined }[] = []
    const origin = await startEndpoint(t, (body, headers) => {
      const { authorization } = headers as { authorization?: string }
      requests.push({ body: new URLSearchParams(body), authorization })
      if (!requests.at(-1)?.body.has('grant_type')) return { ok: true }
      return { access_token: 'token-0123456789', token_type: 'bearer', expires_in: 3600 }
    })
    const authorization_server = { token_endpoint: `${origin}/token`, client_id: 'client', ...way }
    const broker = await startBroker(t, {
      config: provider({ credential: 'client_credentials', authorization_server }, `${origin}/v1`),
    })
    const { stream } = await addConfig(broker)
    await stream()
    const [request] = requests
    const assertion = request?.body.get('client_assertion')
    t.match(
      {
        basic: request?.authorization?.startsWith('Basic ') ?? false,
        secret: request?.body.get('client_secret'),
        header: assertion && JSON.parse(Buffer.from(assertion.split('.')[0] ?? '', 'base64url').toString()),
      },
      way.client_authentication === 'client_secret_basic'
        ? { basic: true, secret: null, header: null }
        : way.client_authentication === 'client_secret_post'
          ? { basic: false, secret: 's3cret', header: null }
          : { basic: false, secret: null, header: { alg: 'RS256', kid: 'k1' } },
      way.client_authentication,
    )
    await broker.close()
  }
})

t.test(
  'an issuer that cannot be reached, or whose document names another, is said in one line',
  async (t) => {
    const other = await startEndpoint(t, () => ({
      issuer: 'https://other.example',
      token_endpoint: 'https://x/y',
    }))
    const rows: [string, RegExp][] = [
      [other, /\/config\.yaml: authorization_server\.issuer must be https:\/\/other\.example/],
      [
        `http://127.0.0.1:${await freePort()}`,
        /\/config\.yaml: authorization_server\.issuer cannot be reached \(ECONNREFUSED\)/,
      ],
    ]
    for (const [issuer, line] of rows) {
      const authorization_server = { issuer, client_id: 'c' }
      const broker = await startBroker(t, {
        config: provider({ credential: 'device_code', authorization_server }, `${other}/v1`),
      })
      const answer = await call(`${broker.origin}/api/p/oauth/device-code`, 'POST')
      t.match(answer, { status: 500, body: { code: 'device_authorization_failed' } })
      t.match(broker.log.join(''), line)
      await broker.close()

      const own = { ...authorization_server, client_secret: 's' }
      const machine = await startBroker(t, {
        config: provider({ credential: 'client_credentials', authorization_server: own }, `${other}/v1`),
      })
      const { stream } = await addConfig(machine)
      t.match(await stream(), { error: { code: 'refresh_unavailable' } })
      t.match(machine.log.join(''), line)
      await machine.close()
    }
  },
)
