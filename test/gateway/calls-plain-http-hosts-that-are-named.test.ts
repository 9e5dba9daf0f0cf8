/** `upstream.allow_http_hosts`: a model server of the operator's own network, in production, without TLS. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import t from 'tap'
import { generateFernetKey } from '../../src/vault/fernet.ts'
import { call, startBroker } from '../support/broker.ts'

/** An address of this machine that is not loopback, where it has one. */
const LAN = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === 'IPv4' && !address.internal)?.address

t.test(
  'a named host streams; another port of it is refused, and so is a host that a client names',
  async (t) => {
    const events = 'data: {"choices":[]}\n\ndata: [DONE]\n\n'
    const server = createServer((_, response) =>
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(events),
    )
    const host = LAN ?? '127.0.0.1'
    await new Promise<void>((resolve) => server.listen(0, host, resolve))
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    const place = `${host}:${(server.address() as AddressInfo).port}`
    const upstream = { base_url: 'https://model.example/v1', allow_http_hosts: [place] }
    const providers = {
      lan: { credential: 'api_key', upstream },
      strict: { credential: 'api_key', upstream: {} },
    }
    const env = { NODE_ENV: 'production', TOKEN_ENCRYPTION_KEY: generateFernetKey() }
    const broker = await startBroker(t, { config: JSON.stringify({ providers }), env })
    const create = (provider: string, base_url: string, name = 'c') =>
      broker.admin('POST', '/api/models/configs', {
        name,
        provider,
        base_url,
        api_key: 'k',
        models: [{ model_id: 'm' }],
      })

    for (const [provider, url] of [
      ['strict', `http://${place}/v1`],
      ['lan', `http://${host}:1/v1`],
      ['lan', `http://a.example:${new URL(`http://${place}`).port}/v1`],
    ] as const) {
      const refused = await create(provider, url)
      t.equal(refused.status, 422, `${provider} ${url}`)
      t.match(refused.body.message, /base_url/)
    }
    const made = await create('lan', `http://${place}/v1`)
    t.equal(made.status, 201)
    const key = (await broker.admin('POST', '/api/keys', { name: 'k', model_config_ids: [made.body.id] }))
      .body.key
    const body = { model: 'm', stream: true, messages: [{ role: 'user', content: 'Hello' }] }
    const answer = await call(`${broker.origin}/v1/chat/completions`, 'POST', body, key)
    t.match({ status: answer.status, body: answer.body }, { status: 200, body: events })

    const test = async (address: string) =>
      (
        await broker.admin('POST', '/api/models/configs/test-connection', {
          base_url: address,
          api_key: 'k',
          model_id: 'm',
        })
      ).body
    t.match(await test(`http://${place}/v1`), { success: true })
    t.match(await test(`http://${host}:1/v1`), { success: false, message: /must be https/ })
  },
)
