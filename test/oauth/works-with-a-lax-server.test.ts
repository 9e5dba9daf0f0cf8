/**
 * The broker against a second authorization server that is not ours: one that checks little, counts in other ways, and
 * whose tokens are JWTs. The model endpoint verifies each with the server's own keys, by another library.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRemoteJWKSet, jwtVerify, SignJWT } from 'jose'
import { OAuth2Server } from 'oauth2-mock-server'
import t, { type Test } from 'tap'
import { approve, comeBack } from '../onboarding/fixtures/code-login.ts'
import { call, createConfigAndKey, startBroker } from '../support/broker.ts'

const CLIENT = 'any-client'
const SUBJECT = 'workload@idp.example'

async function startLaxServer(t: Test): Promise<OAuth2Server> {
  const server = new OAuth2Server()
  await server.issuer.keys.generate('RS256')
  await server.start(0, '127.0.0.1')
  server.issuer.url = `http://127.0.0.1:${server.address().port}`
  t.teardown(() => server.stop())
  return server
}

/** Says whose token it was shown. */
async function startModelEndpoint(t: Test, issuer: string): Promise<string> {
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`))
  const http = createServer(async (request, response) => {
    const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
    const content = await jwtVerify(token, keys, { issuer }).then(
      ({ payload }) => `${payload.sub ?? 'a client'}, ${payload['scope']}`,
      (error: Error) => error.message,
    )
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ choices: [{ message: { role: 'assistant', content } }] }))
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    http.closeAllConnections()
    http.close()
  })
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}/v1`
}

/** Nobody checks its signature there. */
const subjectToken = () =>
  new SignJWT({ sub: SUBJECT })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime('1h')
    .sign(Buffer.alloc(32, 1))

async function openStage(t: Test) {
  const server = await startLaxServer(t)
  const issuer = server.issuer.url ?? ''
  const upstream = { base_url: await startModelEndpoint(t, issuer) }
  const authorization_server = { issuer, client_id: CLIENT, scope: 'models' }
  const providers = {
    machine: {
      credential: 'client_credentials',
      authorization_server: { ...authorization_server, client_secret: 'any-secret' },
      upstream,
    },
    workload: {
      credential: 'jwt_bearer',
      authorization_server: { issuer, scope: 'models' },
      subject_token: 'env:SUBJECT_TOKEN',
      upstream,
    },
    person: { credential: 'authorization_code', authorization_server, upstream },
  }
  const grants: unknown[] = []
  server.service.on('beforeResponse', (_answer, { body }) => grants.push(body.grant_type))
  const broker = await startBroker(t, {
    config: JSON.stringify({ allow_insecure_loopback: true, providers }),
    env: { SUBJECT_TOKEN: await subjectToken() },
  })
  const connect = async (provider: string): Promise<{ id: string; said: () => Promise<unknown> }> => {
    const fields = { name: provider, provider, models: [{ model_id: 'm' }] }
    const { key, configId } = await createConfigAndKey(broker, fields)
    const body = { model: 'm', messages: [] }
    const said = async () =>
      (await call(`${broker.origin}/v1/chat/completions`, 'POST', body, key)).body.choices?.[0].message
        .content
    return { id: configId, said }
  }
  return { server, broker, grants, connect }
}

t.test(
  'a client of its own, and a token of another server, are traded for one that is verified',
  async (t) => {
    const { connect, grants } = await openStage(t)
    t.equal(await (await connect('machine')).said(), 'a client, models')
    t.equal(await (await connect('workload')).said(), `${SUBJECT}, models`)
    t.same(grants, ['client_credentials', 'urn:ietf:params:oauth:grant-type:jwt-bearer'])
  },
)

t.test('a person logs in by a code, and what runs out is renewed', async (t) => {
  const { broker, connect, grants, server } = await openStage(t)
  const { id, said } = await connect('person')
  const path = `/api/models/configs/${id}`
  // Its tokens count as over as soon as they are there.
  server.service.once('beforeResponse', ({ body }) => Object.assign(body as object, { expires_in: 1 }))
  const begun = await broker.admin('POST', `${path}/login`)
  const cookie = begun.headers.get('set-cookie')?.split(';')[0] ?? ''
  t.match((await comeBack(broker, await approve(begun), cookie)).body, /<title>Connected<\/title>/)
  await t.resolveMatch(said(), 'johndoe, ')
  while (!grants.includes('refresh_token')) await said()
  t.equal(grants[0], 'authorization_code')
  t.match((await broker.admin('GET', path)).body.credential, { state: 'active' })
})
