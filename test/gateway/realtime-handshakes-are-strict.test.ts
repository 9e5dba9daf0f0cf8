import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import { WebSocketServer } from 'ws'
import { NO_PROXY } from '../../src/http1/egress-proxy.ts'
import { WebSocketOpener } from '../../src/upstream/web-socket.ts'
import { openScene } from '../credential/fixtures/refreshing.ts'
import { onEachDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ask, rawExchange } from './fixtures/client.ts'
import { answerTo, connect, setUpRealtime } from './fixtures/realtime.ts'
import { addConfig, addKey, json } from './fixtures/upstream.ts'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

t.test('a handshake is refused like any call, and upstream never hears of it', async (t) => {
  const setup = await setUpRealtime(t)
  const { upstream, key } = setup
  const wrongKey = { ...setup, key: `${key.slice(0, -1)}_` }
  t.equal((await answerTo(connect(wrongKey))).status, 401)
  t.equal((await answerTo(connect(setup, '/realtime/..%2fadmin'))).status, 400)
  await addConfig(setup.broker, { name: 'second', models: ['model-b'] })
  const everywhere = await addKey(setup.broker)
  t.equal((await answerTo(connect({ ...setup, key: everywhere }, '/realtime?model=nobody'))).status, 404)
  const limited = await addKey(setup.broker, { models: ['model-a'] })
  const asLimited = { ...setup, key: limited }
  t.equal((await answerTo(connect(asLimited, '/realtime?model=model-b'))).status, 404)
  t.equal(
    (await answerTo(connect(asLimited, '/realtime'))).status,
    404,
    'nor with a default that upstream chooses',
  )
  t.equal((await answerTo(connect(asLimited, '/realtime?model=model-a&model=model-b'))).status, 400)
  t.equal(setup.arrived.length, 0)
  t.equal(upstream.calls.length, 0)
})

t.test(
  'where Responses are served over HTTP alone, an upgrade is told so at once, whatever upstream’s words',
  async (t) => {
    const setup = await setUpRealtime(t)
    const { upstream, key, broker, configId } = setup
    const path = '/responses'
    const accepted = connect(setup, path)
    await once(accepted, 'open')
    accepted.terminate()

    upstream.server.removeAllListeners('upgrade')
    let status = 404
    upstream.server.on('upgrade', (_, socket) =>
      socket.end(`HTTP/1.1 ${status} Words\r\nRetry-After: 9\r\nContent-Length: 2\r\n\r\n{}`),
    )
    for (status of [200, 400, 403, 404, 405, 426, 501]) {
      const answer = await answerTo(connect(setup, path))
      t.equal(answer.status, 426, String(status))
      t.equal(JSON.parse(answer.body).error.code, 'websocket_not_served')
      t.match(answer.headers, { upgrade: 'HTTP/1.1', connection: /upgrade/ })
    }
    for (status of [401, 402, 429, 500, 503]) {
      const answer = await answerTo(connect(setup, path))
      t.equal(answer.status, status, 'that is no matter of sockets')
      t.equal(answer.headers['retry-after'], '9')
    }
    status = 404
    t.equal(
      (await answerTo(connect(setup, '/realtime?model=model-a'))).status,
      404,
      'there is no other way there',
    )

    const limited = await addKey(broker, { model_config_ids: [configId], models: ['model-a'] })
    t.equal((await answerTo(connect({ ...setup, key: limited }, path))).status, 426)
    t.equal(
      (await ask(`${setup.v1}${path}`, { key, body: { model: 'model-a' } })).status,
      200,
      'over HTTP it is served',
    )
  },
)

t.test('a client that left before upstream accepted leaves nothing behind', async (t) => {
  const setup = await setUpRealtime(t)
  setup.acceptsAfterMs = 60_000
  for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
    const before = setup.asked.length
    const socket = connect(setup)
    await waitUntil(() => setup.asked.length > before)
    const upstream = setup.asked[before]?.socket
    upstream?.resume()
    const request = (socket as unknown as { _req: { socket: Socket } })._req
    request.socket[leave]()
    await waitUntil(() => upstream?.readableEnded === true || upstream?.destroyed === true)
    socket.terminate()
  }
  t.equal(setup.arrived.length, 0)
})

t.test('an upstream that refuses or is not there is told as for any call', async (t) => {
  const setup = await setUpRealtime(t)
  const nowhere = `https://${'a'.repeat(60)}.${'b'.repeat(60)}.invalid/v1`
  for (const [fields, status, code] of [
    [{ base_url: nowhere }, 502, 'upstream_unreachable'],
    [{ api_key: 'sk-wrong' }, 401, 'Unauthorized'],
    [{ base_url: 'http://127.0.0.1:1/v1' }, 502, 'upstream_unreachable'],
  ] as const) {
    const id = await addConfig(setup.broker, { name: JSON.stringify(fields).slice(0, 80), ...fields })
    const answer = await answerTo(
      connect({ ...setup, key: await addKey(setup.broker, { model_config_ids: [id] }) }),
    )
    t.equal(answer.status, status)
    t.match(answer.body, code)
    t.notMatch(answer.body, /127\.0\.0\.1|sk-|invalid\b/)
    t.type(answer.headers['x-request-id'], 'string')
  }
  t.equal((await ask(`${setup.v1}/models`, { key: setup.key })).status, 200)
})

t.test('an answer of HTTP to a handshake comes back as it is', async (t) => {
  const setup = await setUpRealtime(t)
  setup.upstream.server.removeAllListeners('upgrade')
  setup.upstream.answer((_, response) => {
    response.setHeader('retry-after', '7').setHeader('set-cookie', 'canary=1')
    json(response, { error: { code: 'too_many' } }, 429)
  })
  const answer = await answerTo(connect(setup))
  t.match(answer, { status: 429, body: '{"error":{"code":"too_many"}}', headers: { 'retry-after': '7' } })
  t.equal(answer.headers['set-cookie'], undefined)
  setup.upstream.answer((_, response) =>
    response.writeHead(302, { location: 'https://elsewhere.example/' }).end(),
  )
  t.match(await answerTo(connect(setup)), { status: 502, body: /upstream_redirected/ })
})

t.test('a status beyond all classes is told as an error of a handshake', async (t) => {
  const setup = await setUpRealtime(t)
  setup.upstream.server.removeAllListeners('upgrade')
  for (const status of [600, 799, 999]) {
    setup.upstream.answer((_, response) =>
      response.socket?.end(`HTTP/1.1 ${status} Odd\r\nContent-Length: 2\r\n\r\n{}`),
    )
    t.match(await answerTo(connect(setup)), { status: 502, body: /upstream_broken/ }, String(status))
    const answer = await ask(`${setup.v1}/files/1`, { key: setup.key })
    t.equal(answer.status, status, 'a call is told what upstream said')
  }
  t.notMatch(setup.broker.log.join(''), /internal_error/)
})

t.test('a handshake of upstream that is none for ours opens nothing', async (t) => {
  const setup = await setUpRealtime(t)
  const { server } = setup.upstream
  server.removeAllListeners('upgrade')
  let head = ''
  const cut = new Set<object>()
  server.on('upgrade', (request, socket) => {
    socket
      .on('error', () => {})
      .on('end', () => cut.add(socket))
      .on('close', () => cut.add(socket))
      .resume()
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}${GUID}`)
      .digest('base64')
    socket.write(`${head.replace('ACCEPT', accept)}\r\n\r\n`)
  })
  const good =
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: ACCEPT'
  const bad = [
    good.replace('ACCEPT', 'AAAA'),
    good.replace('\r\nSec-WebSocket-Accept: ACCEPT', ''),
    good.replace('WebSocket\r', 'h2c\r'),
    good.replace('keep-alive, Upgrade', 'keep-alive'),
    `${good}\r\nSec-WebSocket-Extensions: permessage-deflate`,
    `${good}\r\nSec-WebSocket-Protocol: other`,
    `${good}\r\nContent-Length: 5`,
    `${good}\r\nTransfer-Encoding: chunked`,
    'HTTP/1.1 101',
    'SSH-2.0-x',
    `${good}\r\nX: ${'x'.repeat(20_000)}`,
  ]
  for (const each of bad) {
    head = each
    const { status, body } = await answerTo(connect(setup, undefined, ['realtime']))
    t.match([status, body], [502, /upstream_/], each.slice(-60))
  }
  await waitUntil(() => cut.size === bad.length)
  head = good
  t.equal((await answerTo(connect(setup))).status, 101)
})

t.test('what is no handshake is refused, and upstream never hears of it', async (t) => {
  const setup = await setUpRealtime(t)
  const good = {
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    Authorization: `Bearer ${setup.key}`,
  }
  const shake = (headers: Record<string, string>) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const head = `GET /v1/realtime?model=model-a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`
    return rawExchange(setup.broker.origin, `${head}${lines.join('')}\r\n`)
  }
  for (const [wrong, status] of [
    [{ 'Sec-WebSocket-Version': '8' }, 400],
    [{ 'Sec-WebSocket-Key': 'short' }, 400],
    [{ 'Content-Length': '5' }, 400],
    [{ 'Sec-WebSocket-Protocol': 'a b' }, 400],
    [{ Authorization: 'Bearer nobody' }, 401],
  ] as const)
    t.match(await shake({ ...good, ...wrong }), new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(wrong))
  t.equal(setup.asked.length, 0)
  t.match(await shake(good), /^HTTP\/1\.1 101 .*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/s)
})

t.test(
  'a broker key is found among the subprotocols, and goes up neither there nor in the query',
  async (t) => {
    const setup = await setUpRealtime(t)
    const hidden = ['realtime', `openai-insecure-api-key.${setup.key}`, 'openai-beta.realtime-v1']
    const path = `/realtime?model=model-a&api-key=${setup.key}&x=${setup.key.replace('s', '%73')}&y=2`
    const socket = connect({ ...setup, key: '' }, path, hidden)
    await once(socket, 'open')
    t.equal(socket.protocol, 'realtime')
    const [request] = setup.asked
    t.equal(request?.headers['sec-websocket-protocol'], 'realtime, openai-beta.realtime-v1')
    t.equal(request?.url, '/base/v1/realtime?model=model-a&y=2')
    t.notMatch([request?.url, ...(request?.rawHeaders ?? [])].join('\n'), setup.key.slice(6))
    socket.terminate()
    const wrong = hidden.map((name) => name.replace(/.{4}$/, 'AAAA'))
    t.equal((await answerTo(connect({ ...setup, key: '' }, undefined, wrong))).status, 401)
    t.equal(
      (await answerTo(connect(setup, undefined, wrong))).status,
      401,
      'two keys that are not of one mind',
    )
    t.equal((await answerTo(connect({ ...setup, key: '' }))).status, 401)
  },
)

onEachDatabase(
  t,
  'a token that upstream refuses is renewed once, and the handshake made again',
  async (t, database) => {
    const accepted: string[] = []
    const server = new WebSocketServer({
      port: 0,
      host: '127.0.0.1',
      verifyClient: ({ req }, done) => {
        accepted.push(req.headers.authorization ?? '')
        done(accepted.length > 1, 401)
      },
    })
    t.teardown(() => server.close())
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const provider = `    upstream: { base_url: "http://127.0.0.1:${port}/v1" }`
    const scene = await openScene(t, database, { provider, expiresInMs: 3_600_000 })
    const socket = connect(
      { v1: `${scene.broker.origin}/v1`, key: scene.key },
      '/realtime?model=sandbox-model',
    )
    await once(socket, 'open')
    t.equal(scene.broker.sandbox.counts.refreshGrants, 1)
    t.equal(new Set(accepted).size, 2)
    socket.terminate()
  },
)

t.test('a handshake that upstream does not answer is given up after its time', async (t) => {
  const setup = await setUpRealtime(t)
  setup.acceptsAfterMs = 60_000
  const opener = new WebSocketOpener(NO_PROXY, 300)
  const request = { origin: setup.upstream.origin, path: '/', headers: [], protocols: [] }
  await t.rejects(opener.open(request, new AbortController().signal), { code: 'upstream_timeout' })
  const [upstream] = setup.asked
  upstream?.socket.resume()
  await waitUntil(() => upstream?.socket.readableEnded === true)
})
