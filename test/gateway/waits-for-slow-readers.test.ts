import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
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
  const startedAt = performance.now()
  for (let count = 0; count < 20; count += 1) {
    const answer = await open(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
    for await (const chunk of answer) t.equal(String(chunk), 'quick')
  }
  const ms = performance.now() - startedAt
  t.ok(ms < 2_000, `${Math.round(ms)} ms for 20 calls`)
  slow.destroy()
})
