/** RFC 8705 §2: who a client is tells the certificate that it shows, and nothing else of it is sent. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { call, createConfigAndKey, startBroker } from '../support/broker.ts'
import { selfSigned } from '../support/certificates.ts'

const TOKEN = 'access-token-0123456789'

interface Asked {
  readonly authorized: boolean
  readonly authorization: string | undefined
  readonly body: string
}

/** Gives a token, and takes calls with it, from whoever shows the client's certificate: who does not is refused. */
async function startServer(t: Test) {
  const theirs = selfSigned(['localhost'])
  const ours = selfSigned(['the client'])
  const tokens: Asked[] = []
  const calls: Asked[] = []
  const server = createServer(
    { ...theirs, ca: [ours.cert], requestCert: true, rejectUnauthorized: false },
    async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      const { authorized } = request.socket as TLSSocket
      const { authorization } = request.headers
      const isToken = request.url === '/token'
      const asked = isToken ? tokens : calls
      asked.push({ authorized, authorization, body })
      const answer = isToken ? { access_token: TOKEN, expires_in: 3_600 } : { choices: [] }
      const isTaken = authorized && (isToken || authorization === `Bearer ${TOKEN}`)
      response.writeHead(isTaken ? 200 : 401, { 'content-type': 'application/json' })
      response.end(JSON.stringify(isTaken ? answer : { error: 'invalid_client' }))
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const origin = `https://localhost:${(server.address() as AddressInfo).port}`
  const folder = t.testdir({ 'ca.pem': theirs.cert, 'cert.pem': ours.cert, 'key.pem': ours.key })
  const tls = {
    ca_file: `${folder}/ca.pem`,
    certificate_file: `${folder}/cert.pem`,
    key_file: `${folder}/key.pem`,
  }
  return { origin, tls, tokens, calls }
}

/** One call of a new account. */
async function firstCall(t: Test, providers: object, account: object) {
  const broker = await startBroker(t, { config: JSON.stringify({ providers }) })
  const { key } = await createConfigAndKey(broker, { name: 'c', models: [{ model_id: 'm' }], ...account })
  return call(`${broker.origin}/v1/chat/completions`, 'POST', { model: 'm', messages: [] }, key)
}

t.test('client_authentication: tls', async (t) => {
  const { origin, tls, tokens } = await startServer(t)
  const p = {
    credential: 'client_credentials',
    authorization_server: {
      token_endpoint: `${origin}/token`,
      client_id: 'client0123',
      client_authentication: 'tls',
    },
    tls,
    upstream: { base_url: `${origin}/v1` },
  }
  const answer = await firstCall(t, { p }, { provider: 'p' })
  t.equal(answer.status, 200)
  t.same(tokens, [
    {
      authorized: true,
      authorization: undefined,
      body: 'grant_type=client_credentials&client_id=client0123',
    },
  ])
})

t.test('openai-x509: it stands for the token and for each call', async (t) => {
  const { origin, tls, tokens, calls } = await startServer(t)
  const shipped = parse(readFileSync('config/providers/openai-x509.yaml', 'utf8'))
  const [step] = shipped.token_request
  const there = {
    tls,
    token_request: [{ ...step, url: `${origin}/token` }],
    upstream: { base_url: `${origin}/v1` },
  }
  const inputs = { identity_provider_id: 'idp_1', service_account_id: 'sa_1' }
  const answer = await firstCall(t, { 'openai-x509': there }, { provider: 'openai-x509', inputs })
  t.equal(answer.status, 200)
  t.match(tokens, [{ authorized: true, authorization: undefined, body: /token-type:x509.*idp_1.*sa_1/ }])
  t.match(calls, [{ authorized: true, authorization: `Bearer ${TOKEN}` }])
})
