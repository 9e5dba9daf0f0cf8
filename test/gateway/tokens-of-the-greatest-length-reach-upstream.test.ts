import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { call, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'

onEachDatabase(t, 'an access token or a key of 32,768 characters arrives whole', async (t, { url }) => {
  const seen: (string | undefined)[] = []
  const server = createServer({ maxHeaderSize: 64 * 1024 }, (request, response) => {
    request.resume()
    seen.push(request.headers.authorization)
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const base_url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const authorization_server = {
    token_endpoint: 'https://auth.example/token',
    device_authorization_endpoint: 'https://auth.example/device',
    client_id: 'client',
  }
  const providers = {
    p: { credential: 'device_code', authorization_server, upstream: { base_url } },
    k: { credential: 'api_key', upstream: { base_url } },
  }
  const broker = await startBroker(t, {
    databaseUrl: url,
    config: JSON.stringify({ allow_insecure_loopback: true, providers }),
  })
  const longest = 'a'.repeat(32_768)
  for (const fields of [
    { provider: 'p', oauth_token: { access_token: longest } },
    { provider: 'k', api_key: longest },
  ]) {
    const made = await broker.admin('POST', '/api/models/configs', {
      name: fields.provider,
      models: [{ model_id: 'm' }],
      ...fields,
    })
    t.equal(made.status, 201, made.body.message)
    const model_config_ids = [made.body.id]
    const { key } = (await broker.admin('POST', '/api/keys', { name: 'k', model_config_ids })).body
    const body = { model: 'm', messages: [] }
    t.equal((await call(`${broker.origin}/v1/chat/completions`, 'POST', body, key)).status, 200)
    t.equal(seen.pop(), `Bearer ${longest}`)
  }
  const tooLong = { name: 'x', provider: 'p', models: [], oauth_token: { access_token: `${longest}a` } }
  t.match(await broker.admin('POST', '/api/models/configs', tooLong), {
    status: 422,
    body: { code: 'invalid_request', message: /access_token/ },
  })
})
