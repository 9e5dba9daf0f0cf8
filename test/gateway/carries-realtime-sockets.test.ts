import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { openScene } from '../credential/fixtures/refreshing.ts'
import { onEachDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { rawExchange } from './fixtures/client.ts'
import { connect, setUpRealtime } from './fixtures/realtime.ts'
import { UPSTREAM_KEY } from './fixtures/upstream.ts'

t.test('messages pass both ways, text and binary, with the credential and without the key', async (t) => {
  const setup = await setUpRealtime(t)
  const headers = {
    cookie: 'session=canary',
    'openai-beta': 'realtime=v1',
    'x-custom': 'canary',
    origin: 'https://canary',
  }
  const socket = connect(setup, '/realtime?model=model-a&x=a%2Fb', [], headers)
  await once(socket, 'open')
  const bytes = Buffer.from([0, 1, 2, 255])
  for (const [sent, isBinary] of [
    ['{"type":"session.update"}', false],
    [bytes, true],
    ['模型🙂'.repeat(20_000), false],
  ] as const) {
    socket.send(sent)
    const [data, wasBinary] = (await once(socket, 'message')) as [Buffer, boolean]
    t.equal(wasBinary, isBinary)
    t.ok(data.equals(Buffer.from(sent)))
  }
  const { request } = setup.arrived[0] ?? {}
  t.equal(request?.url, '/base/v1/realtime?model=model-a&x=a%2Fb')
  t.match(request?.headers, { authorization: `Bearer ${UPSTREAM_KEY}`, 'openai-beta': 'realtime=v1' })
  t.notMatch(request?.rawHeaders.join('\n'), /canary(?!-0123456789)/)
  t.notMatch(request?.rawHeaders.join('\n'), setup.key.slice(6))
  socket.close()
})

t.test('either side may end it, with its code', async (t) => {
  const setup = await setUpRealtime(t)
  const leaves = connect(setup)
  await once(leaves, 'open')
  await waitUntil(() => setup.arrived.length === 1)
  const toUpstream = once(setup.arrived[0]?.socket ?? leaves, 'close')
  leaves.close(4001, 'bye')
  t.equal((await toUpstream)[0], 4001)

  const stays = connect(setup)
  await once(stays, 'open')
  await waitUntil(() => setup.arrived.length === 2)
  const toClient = once(stays, 'close')
  setup.arrived[1]?.socket.close(4002, 'enough')
  t.equal((await toClient)[0], 4002)

  const dies = connect(setup)
  await once(dies, 'open')
  await waitUntil(() => setup.arrived.length === 3)
  const noticed = once(setup.arrived[2]?.socket ?? dies, 'close')
  dies.terminate()
  await noticed
})

t.test('what a client sends before upstream has accepted is not lost', async (t) => {
  const setup = await setUpRealtime(t)
  setup.acceptsAfterMs = 200
  const socket = connect(setup)
  await once(socket, 'open')
  for (const text of ['1', '2', '3']) socket.send(text)
  let heard = ''
  socket.on('message', (data: Buffer) => {
    heard += data.toString()
  })
  await waitUntil(() => heard === '123')
  socket.close()
})

t.test('200 sockets at once, each with its own messages', async (t) => {
  const setup = await setUpRealtime(t)
  const sockets = Array.from({ length: 200 }, () => connect(setup))
  await Promise.all(sockets.map((socket) => once(socket, 'open')))
  const heard = sockets.map((socket) => {
    const messages: string[] = []
    socket.on('message', (data: Buffer) => messages.push(data.toString()))
    return messages
  })
  const texts = (socket: number) => Array.from({ length: 10 }, (_, index) => `${socket}: ${index}`)
  for (const [index, socket] of sockets.entries()) for (const text of texts(index)) socket.send(text)
  await waitUntil(() => heard.every((messages) => messages.length === 10))
  t.same(heard, Array.from(sockets.keys(), texts))
  t.equal(setup.arrived.length, 200)
  for (const socket of sockets) socket.close()
  await waitUntil(() => setup.arrived.every(({ socket }) => socket.readyState === WebSocket.CLOSED))
})

onEachDatabase(t, 'a token that is due is refreshed before the handshake', async (t, database) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const scene = await openScene(t, database, {
    provider: `    upstream: { base_url: "http://127.0.0.1:${port}/v1" }`,
    expiresInMs: -1,
  })
  const arrived = once(server, 'connection') as Promise<[WebSocket, IncomingMessage]>
  const socket = connect({ v1: `${scene.broker.origin}/v1`, key: scene.key }, '/realtime?model=sandbox-model')
  await once(socket, 'open')
  const [, request] = await arrived
  t.match(request.headers.authorization, /^Bearer .{40}/)
  t.not(request.headers.authorization, `Bearer ${scene.token.access_token}`)
  t.equal(scene.broker.sandbox.counts.refreshGrants, 1)
  socket.terminate()
})

t.test('config-name/model-id reaches upstream as the model alone', async (t) => {
  const setup = await setUpRealtime(t)
  const socket = connect(setup, '/realtime?x=1&model=main%2Fmodel-a&y=a%2Fb')
  await once(socket, 'open')
  await waitUntil(() => setup.arrived.length === 1)
  t.equal(setup.arrived[0]?.request.url, '/base/v1/realtime?x=1&model=model-a&y=a%2Fb')
  socket.close()
})

t.test('an Upgrade header on a call that is none changes nothing about it', async (t) => {
  const { broker, upstream, key } = await setUpRealtime(t)
  for (const upgrade of ['websocket', 'h2c', 'x']) {
    const text = await rawExchange(
      broker.origin,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nUpgrade: ${upgrade}\r\n` +
        'Cookie: canary=1\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{"model":"model-a"}',
    )
    t.match(text, /^HTTP\/1\.1 200 /)
    const { headers, rawHeaders } = upstream.calls.at(-1) ?? {}
    t.equal(headers?.authorization, `Bearer ${UPSTREAM_KEY}`)
    t.notMatch(rawHeaders?.join('\n'), /canary=1|upgrade/i)
  }
})
