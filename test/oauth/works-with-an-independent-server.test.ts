/**
 * The broker against an authorization server that is not ours, and a model endpoint that asks that server
 * about every token it is shown.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { call, startBroker } from '../support/broker.ts'
import {
  BROWSER_CLIENT,
  CONFIDENTIAL_CLIENT,
  CONFIDENTIAL_SECRET,
  type IndependentServer,
  PUBLIC_CLIENT,
  SCOPE,
  startIndependentServer,
} from '../support/oidc-provider.ts'
import { waitUntil } from '../support/wait-until.ts'

/** Answers what it knows of the token, or 401. */
async function startModelEndpoint(t: Test, server: IndependentServer): Promise<string> {
  const http = createServer(async (request, response) => {
    const token = await server.introspect(request.headers.authorization?.replace('Bearer ', '') ?? '')
    const answer = token.active
      ? { choices: [{ message: { role: 'assistant', content: token.scope } }] }
      : { error: { message: 'invalid access token or token expired', code: 'invalid_api_key' } }
    response
      .writeHead(token.active ? 200 : 401, { 'content-type': 'application/json' })
      .end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    http.closeAllConnections()
    http.close()
  })
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}/v1`
}

/** The shipped template `oidc`, whose endpoints are found by discovery; and every endpoint by name. */
const providersFor = (server: IndependentServer, baseUrl: string) => `
allow_insecure_loopback: true
providers:
  oidc:
    authorization_server: { issuer: '${server.issuer}', client_id: ${PUBLIC_CLIENT}, scope: ${SCOPE} }
    upstream: { base_url: '${baseUrl}' }
  independent:
    credential: device_code
    authorization_server:
      device_authorization_endpoint: ${server.issuer}/device/auth
      token_endpoint: ${server.issuer}/token
      revocation_endpoint: ${server.issuer}/token/revocation
      client_id: ${PUBLIC_CLIENT}
      scope: ${SCOPE}
    upstream: { base_url: '${baseUrl}' }
  machine:
    credential: client_credentials
    authorization_server:
      issuer: '${server.issuer}'
      client_id: ${CONFIDENTIAL_CLIENT}
      client_secret: env:MACHINE_SECRET
      scope: model.completion
    upstream: { base_url: '${baseUrl}' }
`

async function startAll(t: Test, options: { accessTokenSeconds?: number } = {}, provider = 'independent') {
  const server = await startIndependentServer(t, options)
  const broker = await startBroker(t, {
    config: providersFor(server, await startModelEndpoint(t, server)),
    env: { MACHINE_SECRET: CONFIDENTIAL_SECRET },
  })
  const api = `${broker.origin}/api/${provider}/oauth`
  const start = async () => (await call(`${api}/device-code`, 'POST', {})).body
  const status = (id: string) => call(`${api}/status?session_id=${id}`, 'GET')
  const logIn = async (): Promise<string> => {
    const { session_id, verification_uri_complete } = await start()
    await server.approve(verification_uri_complete)
    t.match(await status(session_id), { status: 200, body: { status: 'success' } })
    return session_id
  }
  const connect = async () =>
    broker.connect('independent', {
      provider,
      models: [{ model_id: 'any' }],
      oauth_session_id: await logIn(),
    })
  const complete = (key: string) =>
    call(`${broker.origin}/v1/chat/completions`, 'POST', { model: 'any', messages: [] }, key)
  return { server, broker, start, status, logIn, connect, complete }
}

t.test('a login ends in a completion that the endpoint accepts', async (t) => {
  const { start, status, connect, complete } = await startAll(t)
  const { session_id, user_code, verification_uri_complete, interval } = await start()
  t.match(user_code, /^[B-Z]{4}-[B-Z]{4}$/)
  t.ok(verification_uri_complete.includes(user_code))
  t.equal(interval, 5, 'the server names none')
  t.match((await status(session_id)).body, { status: 'pending', retry_after: 5000 })

  const { key } = await connect()
  const answer = await complete(key)
  t.equal(answer.status, 200)
  t.equal(answer.body.choices[0].message.content, SCOPE)
})

t.test('where only the issuer is known, discovery finds the rest', async (t) => {
  const { connect, complete } = await startAll(t, {}, 'oidc')
  const { key } = await connect()
  t.equal((await complete(key)).status, 200)
})

t.test('a client of its own gets a token when one is needed, and another when that runs out', async (t) => {
  const { server, broker, complete } = await startAll(t, { accessTokenSeconds: 3 })
  const config = await broker.admin('POST', '/api/models/configs', {
    name: 'machine',
    provider: 'machine',
    models: [{ model_id: 'any' }],
  })
  t.equal(config.status, 201)
  const { key } = (await broker.admin('POST', '/api/keys', { name: 'app' })).body
  const answers = await Promise.all(Array.from({ length: 20 }, () => complete(key)))
  t.same([...new Set(answers.map(({ status }) => status))], [200])
  t.equal(answers[0]?.body.choices[0].message.content, 'model.completion')
  t.equal(server.counts.clientCredentials, 1, 'one for twenty callers')
  await new Promise((resolve) => setTimeout(resolve, 3_100))
  t.equal((await complete(key)).status, 200)
  t.ok(server.counts.clientCredentials >= 2)
})

t.test('a token that runs out is refreshed, and no refresh token is used twice', async (t) => {
  // It counts whole seconds, so these live 2 to 3 s; the broker refreshes at half of 3.
  const { server, connect, complete } = await startAll(t, { accessTokenSeconds: 3 })
  const { key } = await connect()
  const endsAt = Date.now() + 6_000
  const statuses = new Map<number, number>()
  const caller = async () => {
    while (Date.now() < endsAt) {
      const { status } = await complete(key)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: 8 }, caller))
  t.same([...statuses.keys()], [200])
  t.ok(server.counts.rotations >= 3, `${server.counts.rotations} rotations in 6 s`)
  t.equal(server.counts.reuses, 0)
})

t.test('a grant that was withdrawn there asks for a login here, and a new login mends it', async (t) => {
  const { server, broker, connect, complete, logIn } = await startAll(t)
  const { key, configId } = await connect()
  t.equal((await complete(key)).status, 200)

  server.revokeGrants()
  t.match(await complete(key), { status: 401, body: { error: { code: 'credential_reauth_required' } } })
  const path = `/api/models/configs/${configId}`
  t.match((await broker.admin('GET', path)).body.credential, {
    state: 'reauth_required',
    next_action: 'login',
  })

  const renewed = await broker.admin('PUT', path, { oauth_session_id: await logIn() })
  t.equal(renewed.body.credential.state, 'active')
  t.equal((await complete(key)).status, 200)
})

t.test('the server is strict: two uses of one refresh token at once end its family', async (t) => {
  const { server, logIn, status } = await startAll(t)
  const { token } = (await status(await logIn())).body
  const refresh = async (refreshToken: string) => {
    const body = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: PUBLIC_CLIENT,
      refresh_token: refreshToken,
    })
    const response = await fetch(`${server.issuer}/token`, { method: 'POST', body })
    return { status: response.status, body: (await response.json()) as Record<string, string> }
  }
  const answers = await Promise.all([refresh(token.refresh_token), refresh(token.refresh_token)])
  t.same(answers.map((answer) => answer.status).toSorted(), [200, 400])
  const winner = answers.find((answer) => answer.status === 200)
  t.equal((await refresh(winner?.body['refresh_token'] ?? '')).body['error'], 'invalid_grant')
  t.match(server.counts, { rotations: 1, reuses: 1 })
})

t.test('a login by code is rotated as one with a code is, and ends with its account', async (t) => {
  const server = await startIndependentServer(t, { accessTokenSeconds: 3 })
  const base_url = await startModelEndpoint(t, server)
  const authorization_server = { issuer: server.issuer, client_id: BROWSER_CLIENT, scope: SCOPE }
  const p = { credential: 'authorization_code', authorization_server, upstream: { base_url } }
  const broker = await startBroker(t, {
    config: JSON.stringify({ allow_insecure_loopback: true, providers: { p } }),
  })
  const config = { name: 'person', provider: 'p', models: [{ model_id: 'any' }] }
  const { id } = (await broker.admin('POST', '/api/models/configs', config)).body
  const { body, headers } = await broker.admin('POST', `/api/models/configs/${id}/login`)
  const cookie = headers.get('set-cookie')?.split(';')[0] ?? ''
  t.match(await server.logIn(body.authorization_url, cookie), /<title>Connected/)
  const { key } = (await broker.admin('POST', '/api/keys', { name: 'app' })).body
  const complete = () =>
    call(`${broker.origin}/v1/chat/completions`, 'POST', { model: 'any', messages: [] }, key)
  await waitUntil(async () => {
    t.equal((await complete()).status, 200)
    return server.counts.rotations >= 2
  })
  t.equal(server.counts.reuses, 0)
  const revoked = server.counts.revocations
  t.equal((await broker.admin('DELETE', `/api/models/configs/${id}`)).status, 204)
  t.equal(server.counts.revocations, revoked + 1)
})
