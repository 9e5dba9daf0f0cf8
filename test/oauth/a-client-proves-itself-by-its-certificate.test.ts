/** RFC 8705 §2: who a client is tells the certificate that it shows, and nothing else of it is sent. */
import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { call, createConfigAndKey, startBroker } from '../support/broker.ts'
import { selfSigned } from '../support/certificates.ts'

t.test('client_authentication: tls', async (t) => {
  const theirs = selfSigned(['localhost'])
  const ours = selfSigned(['the client'])
  const asked: object[] = []
  const server = createServer(
    { ...theirs, ca: [ours.cert], requestCert: true, rejectUnauthorized: false },
    async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      const { authorized } = request.socket as TLSSocket
      const { authorization } = request.headers
      const isToken = request.url === '/token'
      if (isToken) asked.push({ authorized, authorization, body })
      const answer = isToken
        ? { access_token: 'access-token-0123456789', expires_in: 3_600 }
        : { choices: [] }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
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
  const p = {
    credential: 'client_credentials',
    authorization_server: {
      token_endpoint: `${origin}/token`,
      client_id: 'client0123',
      client_authentication: 'tls',
    },
    tls: {
      ca_file: `${folder}/ca.pem`,
      certificate_file: `${folder}/cert.pem`,
      key_file: `${folder}/key.pem`,
    },
    upstream: { base_url: `${origin}/v1` },
  }
  const broker = await startBroker(t, { config: JSON.stringify({ providers: { p } }) })
  const { key } = await createConfigAndKey(broker, { name: 'c', provider: 'p', models: [{ model_id: 'm' }] })
  const answer = await call(`${broker.origin}/v1/chat/completions`, 'POST', { model: 'm', messages: [] }, key)
  t.equal(answer.status, 200)
  t.same(asked, [
    {
      authorized: true,
      authorization: undefined,
      body: 'grant_type=client_credentials&client_id=client0123',
    },
  ])
})
