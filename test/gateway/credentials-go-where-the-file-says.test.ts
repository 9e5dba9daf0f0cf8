/**
 * Calls and handshakes of providers that want the credential elsewhere than in `Authorization`.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { startBroker } from '../support/broker.ts'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, type Handler, json, UPSTREAM_KEY } from './fixtures/upstream.ts'

const BODY = { model: 'model-a' }
const WAYS = {
  bare: { auth: { header: 'x-api-key' }, headers: { 'anthropic-version': '2023-06-01' } },
  scheme: { auth: { header: 'authorization', scheme: 'Token' } },
  query: { auth: { query: 'access_token' }, query: { 'api-version': '1' } },
  route: { routes: [{ prefix: '/messages', base_url: '/other', auth: { header: 'x-api-key' } }] },
} as const
type Way = keyof typeof WAYS

/** An endpoint that remembers, without a judgement of its own, and a broker with one config for each way. */
async function setUp(t: Test) {
  const calls: IncomingMessage[] = []
  let handler: Handler = (_, response) => json(response, { ok: true })
  const server = createServer((request, response) => {
    calls.push(request)
    request.resume()
    handler(request, response)
  })
  new WebSocketServer({ server }).on('connection', (socket, request) => {
    calls.push(request)
    socket.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const base_url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/v1`
  const providers = Object.fromEntries(
    Object.entries(WAYS).map(([name, way]) => [
      name,
      { credential: 'api_key', upstream: { base_url, ...way } },
    ]),
  )
  const broker = await startBroker(t, {
    config: JSON.stringify({ allow_insecure_loopback: true, providers }),
  })
  const keys = {} as Record<Way, string>
  for (const provider of Object.keys(WAYS) as Way[]) {
    const id = await addConfig(broker, { name: provider, provider, models: ['model-a'] })
    keys[provider] = await addKey(broker, { model_config_ids: [id] })
  }
  const answer = (next: Handler) => {
    handler = next
  }
  return { broker, keys, calls, answer, base_url, v1: `${broker.origin}/v1` }
}

/** Where a request shows the credential: each place once. */
function shownIn({ url = '', rawHeaders }: IncomingMessage): string[] {
  const lines = rawHeaders.flatMap((name, n) =>
    n % 2 === 0 ? [`${name.toLowerCase()}: ${rawHeaders[n + 1]}`] : [],
  )
  return [url, ...lines].filter((line) => line.includes(UPSTREAM_KEY))
}

const SHOWN: Readonly<Record<Way, string>> = {
  bare: `x-api-key: ${UPSTREAM_KEY}`,
  scheme: `authorization: Token ${UPSTREAM_KEY}`,
  query: `/base/v1/chat/completions?api-version=1&access_token=${UPSTREAM_KEY}`,
  route: `authorization: Bearer ${UPSTREAM_KEY}`,
}

t.test('calls show it in that one place, and the key of the client in none', async (t) => {
  const { keys, calls, v1 } = await setUp(t)
  for (const way of Object.keys(WAYS) as Way[]) {
    const key = keys[way]
    const headers = { 'x-api-key': key, 'api-key': key }
    const target = `${v1}/chat/completions?access_token=${way === 'query' ? key : ''}`
    t.equal((await ask(target, { key, body: BODY, headers })).status, 200)
    const call = calls.at(-1)
    t.same(call && shownIn(call), [SHOWN[way]], way)
    t.notMatch([call?.url, ...(call?.rawHeaders ?? [])].join('\n'), key.slice(6))
  }
  const key = keys.route
  t.equal((await ask(`${v1}/messages`, { key, body: BODY })).status, 200)
  t.match(calls.at(-1), { url: '/other/messages', headers: { 'x-api-key': UPSTREAM_KEY } })
})

t.test('handshakes show it there as well', async (t) => {
  const { keys, calls, v1 } = await setUp(t)
  for (const way of Object.keys(WAYS) as Way[]) {
    const socket = new WebSocket(`${v1.replace('http', 'ws')}/realtime?model=model-a`, {
      headers: { authorization: `Bearer ${keys[way]}` },
    })
    await once(socket, 'close')
    const call = calls.at(-1)
    const shown = SHOWN[way].replace('chat/completions?', 'realtime?model=model-a&')
    t.same(call && shownIn(call), [shown], way)
  }
})

t.test('headers that quote the address that was asked stay behind with it', async (t) => {
  const { keys, answer, v1 } = await setUp(t)
  answer((request, response) => {
    response.setHeader('link', `<https://upstream.example${request.url}&page=2>; rel="next"`)
    json(response, { ok: true })
  })
  const { headers } = await ask(`${v1}/files?limit=1`, { key: keys.query })
  t.equal(headers['link'], undefined)
  t.match((await ask(`${v1}/files?limit=1`, { key: keys.bare })).headers['link'], /page=2/)
  answer((request, response) =>
    response
      .writeHead(307, { location: `/base/v1/login?next=${encodeURIComponent(request.url ?? '')}` })
      .end(),
  )
  const sent = await ask(`${v1}/files`, { key: keys.query })
  t.notMatch(JSON.stringify(sent.headers), UPSTREAM_KEY)
})

t.test('a redirect brings back neither the credential nor what the file adds', async (t) => {
  const { broker, keys, answer, v1 } = await setUp(t)
  answer((request, response) => response.writeHead(307, { location: `${request.url}&more=1#part` }).end())
  const { headers } = await ask(`${v1}/files/1?a=1`, { key: keys.query })
  t.equal(headers.location, '/v1/files/1?a=1&more=1#part')
  answer((request, response) => response.writeHead(307, { location: `${request.url}/` }).end())
  t.equal((await ask(`${v1}/files/1`, { key: keys.bare })).headers.location, '/v1/files/1/')
  t.notMatch(broker.log.join(''), UPSTREAM_KEY)
})

t.test('the connection test and doctor show it as calls do', async (t) => {
  const { broker, calls, base_url } = await setUp(t)
  const { body } = await broker.admin('GET', '/api/models/configs')
  for (const { id, name } of body.items as { id: string; name: Way }[]) {
    const asked = { provider: name, base_url, api_key: UPSTREAM_KEY, model_id: 'model-a' }
    t.match(await broker.admin('POST', '/api/models/configs/test-connection', asked), {
      body: { success: true },
    })
    t.same(calls.at(-1) && shownIn(calls.at(-1) as IncomingMessage), [SHOWN[name]], name)
    t.match(await broker.admin('POST', `/api/models/configs/${id}/diagnose`), { body: { ok: true } })
    t.same(calls.at(-1) && shownIn(calls.at(-1) as IncomingMessage), [SHOWN[name]], name)
  }
  const unknown = { provider: 'nobody', base_url, api_key: UPSTREAM_KEY, model_id: 'model-a' }
  t.match(await broker.admin('POST', '/api/models/configs/test-connection', unknown), {
    status: 200,
    body: { success: false, message: /no such provider/ },
  })
})
