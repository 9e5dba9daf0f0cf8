/** Whoever may manage can write an API key and not read it: it never goes where it was not entered for. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { CONFIGS, create, keyConfig } from './fixtures/management.ts'

const KEY = 'sk-upstream-canary-0123456789'

/** Somebody's server that writes down what it is sent. */
async function startListener(t: Test) {
  const heard: string[] = []
  const server = createServer(async (request, response) => {
    let text = JSON.stringify(request.rawHeaders)
    for await (const chunk of request) text += chunk
    heard.push(text)
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { heard, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function setUp(t: Test, { url }: TestDatabase) {
  const config = 'allow_insecure_loopback: true\n'
  const broker = await startBroker(t, { databaseUrl: url, config })
  return { broker, listener: await startListener(t) }
}

const REFUSED = {
  status: 422,
  body: { code: 'invalid_request', message: /api_key is needed again: base_url/ },
}

onEachDatabase(
  t,
  'a base URL on another origin needs the key again, in the same change',
  async (t, database) => {
    const { broker, listener } = await setUp(t, database)
    const { id } = await create(broker, keyConfig('first'))
    const put = (body: object) => broker.admin('PUT', `${CONFIGS}/${id}`, body)
    const elsewhere = [
      `${listener.origin}/v1`,
      'https://models.example:8443/v1',
      'https://models.example.evil.example/v1',
      'https://evil.example/models.example/v1',
      'https://models.example./v1',
      '', // the provider's own, which is another one
    ]
    for (const base_url of elsewhere) {
      t.match(await put({ base_url }), REFUSED, base_url)
      t.match(await put({ base_url, api_key: '' }), REFUSED, `${base_url}, with an empty key`)
      t.match(await put({ base_url, name: 'renamed', is_active: true }), REFUSED)
    }
    t.match((await broker.admin('GET', `${CONFIGS}/${id}`)).body, {
      name: 'first',
      base_url: 'https://models.example/v1',
    })

    for (const base_url of [
      'https://models.example/v2',
      'https://MODELS.example:443/v1',
      'https://models.example/v1',
    ])
      t.equal((await put({ base_url })).status, 200, `${base_url} is the same origin`)
    const moved = await put({ base_url: `${listener.origin}/v1`, api_key: 'sk-another' })
    t.match(moved, { status: 200, body: { base_url: `${listener.origin}/v1` } })
    await broker.admin('POST', `${CONFIGS}/${id}/diagnose`)
    t.match(listener.heard.join(), /sk-another/, 'the key that was entered for it goes there')
    t.notMatch(listener.heard.join(), new RegExp(KEY))
  },
)

onEachDatabase(t, 'a config on its provider address is moved no more easily', async (t, database) => {
  const { broker, listener } = await setUp(t, database)
  const { id } = await create(broker, keyConfig('first', { base_url: undefined }))
  const put = (body: object) => broker.admin('PUT', `${CONFIGS}/${id}`, body)
  t.match(await put({ base_url: `${listener.origin}/v1` }), REFUSED)
  t.equal((await put({ base_url: 'https://api.openai.com/v1' })).status, 200, 'the same by name')
  t.match(await put({ provider: 'dashscope' }), {
    status: 422,
    body: { message: /provider cannot be changed/ },
  })
  await broker.admin('POST', `${CONFIGS}/test-connection`, {
    ...{ base_url: listener.origin, api_key: 'sk-given', model_id: 'm' },
  })
  t.match(listener.heard.join(), /sk-given/, 'a test sends the key that is given')
  t.notMatch(listener.heard.join(), new RegExp(KEY))
})

onEachDatabase(
  t,
  'two changes at once do not bring the key of one to the address of the other',
  async (t, database) => {
    const { broker, listener } = await setUp(t, database)
    for (let round = 0; round < 10; round += 1) {
      const evil = { base_url: `${listener.origin}/v1`, api_key: 'sk-mine' }
      const { id } = await create(broker, keyConfig(`round ${round}`, evil))
      const put = (body: object) => broker.admin('PUT', `${CONFIGS}/${id}`, body)
      const owner = put({ base_url: 'https://models.example/v1', api_key: KEY })
      const thief = Array.from({ length: 4 }, (_, i) => put({ base_url: `${listener.origin}/v${i}` }))
      await Promise.all([owner, ...thief])
      await broker.admin('POST', `${CONFIGS}/${id}/diagnose`)
    }
    t.notMatch(listener.heard.join(), new RegExp(KEY))
  },
)

onEachDatabase(t, 'nor does what a secret input holds, or has by default', async (t, { url }) => {
  const listener = await startListener(t)
  const of = (secret: object) => ({
    credential: 'api_key',
    inputs: { org: { secret: true, ...secret } },
    upstream: { base_url: 'https://models.example/v1', headers: { 'x-org': '{org}' } },
  })
  const providers = { asked: of({}), given: of({ default: 'env:ORG' }) }
  const config = `allow_insecure_loopback: true\nproviders: ${JSON.stringify(providers)}`
  const broker = await startBroker(t, { databaseUrl: url, config, env: { ORG: 'operators-own-0123456789' } })
  const base_url = `${listener.origin}/v1`
  const api_key = KEY
  const at = (provider: string, more: object) => ({ name: provider, provider, models: [], api_key, ...more })
  const needed = { status: 422, body: { message: /inputs\.org is needed/ } }

  const org = 'org-of-the-config-0123456789'
  const { id } = await create(broker, at('asked', { inputs: { org } }))
  const put = (body: object) => broker.admin('PUT', `${CONFIGS}/${id}`, body)
  t.match(await put({ base_url, api_key }), needed)
  t.match(await put({ base_url, api_key, inputs: {} }), needed)
  t.match(await put({ base_url, api_key, inputs: { org } }), { status: 200 })

  t.match(await broker.admin('POST', CONFIGS, at('given', { base_url })), needed)
  const tried = { base_url, api_key, model_id: 'm', provider: 'given' }
  const { body } = await broker.admin('POST', `${CONFIGS}/test-connection`, tried)
  t.match(body, { success: false, message: /inputs\.org/ })
  t.notMatch(listener.heard.join(), 'operators-own')
  const own = await create(broker, at('given', {}))
  t.match(await broker.admin('PUT', `${CONFIGS}/${own.id}`, { base_url, api_key }), needed)
  const inputs = { org: 'another' }
  t.match(await broker.admin('PUT', `${CONFIGS}/${own.id}`, { base_url, api_key, inputs }), { status: 200 })
  t.match(await broker.admin('PUT', `${CONFIGS}/${own.id}`, { inputs: { org: null } }), needed)
})
