import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { relay, relayHead } from '../../src/gateway/relay.ts'
import { UpstreamCall } from '../../src/upstream/call.ts'
import { open } from './fixtures/client.ts'
import { type Setup, setUp } from './fixtures/upstream.ts'

const MIB = 1024 * 1024
const TOTAL = 48 * MIB
const CHUNK = Buffer.alloc(64 * 1024, 'x')

/** Upstream sends as fast as it may; tells how much it could hand over. */
function pours({ upstream }: Setup, contentType: string): () => number {
  let poured = 0
  upstream.answer(async (_, response) => {
    response.writeHead(200, { 'content-type': contentType })
    while (poured < TOTAL && !response.destroyed) {
      poured += CHUNK.length
      if (!response.write(CHUNK)) await new Promise((resolve) => response.once('drain', resolve))
    }
    response.end()
  })
  return () => poured
}

/** Connections the broker accepts from now on; each knows what it holds for its reader. */
function watchSockets(t: Test, { broker }: Setup): Set<Socket> {
  const sockets = new Set<Socket>()
  const port = Number(new URL(broker.origin).port)
  const add = (message: unknown) => {
    const { socket } = message as { socket: Socket }
    if (socket.localPort === port) sockets.add(socket)
  }
  subscribe('net.server.socket', add)
  t.teardown(() => unsubscribe('net.server.socket', add))
  return sockets
}

async function whenItStopsGrowing(value: () => number): Promise<void> {
  let seen = -1
  while (seen !== value()) {
    seen = value()
    await sleep(400)
  }
}

t.test('a client that does not read stops upstream, and holds less than 1 MiB here', async (t) => {
  const setup = await setUp(t)
  const sockets = watchSockets(t, setup)
  for (const contentType of ['text/event-stream', 'application/json']) {
    const poured = pours(setup, contentType)
    const answer = await open(`${setup.v1}/chat/completions`, { key: setup.key, body: { model: 'model-a' } })
    await whenItStopsGrowing(poured)
    t.ok(poured() < TOTAL, `upstream waits at ${Math.round(poured() / MIB)} MiB`)
    const held = Math.max(...[...sockets].map((socket) => socket.writableLength))
    t.ok(sockets.size > 0 && held < MIB, `${Math.round(held / 1024)} KiB are held`)

    let bytes = 0
    for await (const chunk of answer) bytes += chunk.length
    t.equal(bytes, TOTAL, 'and once it reads, it gets all of it')
  }
})

t.test('slow readers do not slow down others', async (t) => {
  const setup = await setUp(t)
  const { v1, key, upstream } = setup
  const poured = pours(setup, 'text/event-stream')
  const slow = await open(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
  await whenItStopsGrowing(poured)
  upstream.answer((_, response) => response.end('quick'))
  for (let count = 0; count < 20; count += 1) {
    const answer = await open(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
    for await (const chunk of answer) t.equal(String(chunk), 'quick')
  }
  slow.destroy()
})

/** For an HTTP/1.1 client that has not read its last answer yet: everything stays here. */
function answerThatWaits(): ServerResponse {
  const request = Object.assign(new IncomingMessage(new Socket()), {
    httpVersionMajor: 1,
    httpVersionMinor: 1,
  })
  return new ServerResponse(request)
}

t.test('a reader is waited for once a pause, however many chunks had arrived before', async (t) => {
  const call = new UpstreamCall({ origin: '', path: '', method: 'GET', headers: [], body: null })
  let isPaused = false
  let resumed = 0
  call.sendOn(() => ({
    carry() {},
    destroy() {},
    pause() {
      isPaused = true
    },
    resume() {
      isPaused = false
      resumed += 1
      call.onData(CHUNK)
    },
  }))
  call.onHead(200, ['content-type', 'text/event-stream'])
  // No pause before there is a reader. Framed, it is more than the client takes.
  for (let i = 0; i < 20_000; i += 1) call.onData(Buffer.from('x'))
  t.notOk(isPaused)

  const client = answerThatWaits()
  const head = await call.head
  relayHead(call, head, ['content-type', 'text/event-stream'], client)
  relay(call, head, client, {
    reader: undefined,
    keepAliveMs: undefined,
    gate: undefined,
    asked: { id: '', url: '/', headers: {} },
    done() {},
  })
  t.ok(isPaused)
  t.equal(client.listenerCount('drain'), 1)
  for (let drains = 1; drains <= 3; drains += 1) {
    client.emit('drain')
    t.equal(resumed, drains)
    t.ok(isPaused, 'and at the next chunk again')
  }
})
