/**
 * F9: clients that ask for an endless stream and never read it, and WebSockets of which either side never reads.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { residentBytes } from '../../support/resident-bytes.ts'
import { leftOf, pourInto } from '../fixtures/wild-upstream.ts'
import type { Gate, Lab, Row } from '../lab.ts'
import { ask, bodyOf, openWild, type WildScene } from './wild.ts'

const READERS = 200
const SOCKETS = 50
const MAX_MIB = 1
const MIB = 2 ** 20
/** Nothing has flowed for so long when everything between the two ends is full. */
const STILL_MS = 4_000
const GIVE_UP_MS = 60_000

export const idleReaders: Gate = {
  id: 'F9',
  title: 'clients that never read',
  async run(lab) {
    const scene = await openWild(lab)
    return [await streams(lab, scene), await sockets(lab, scene)]
  },
}

async function streams(lab: Lab, scene: WildScene): Promise<Row> {
  const { broker, upstream } = scene
  const key = await scene.createKey()
  for (let i = 0; i < 50; i += 1) await ask(scene, key, 'well')
  const before = { used: await broker.memoryInUse(), resident: residentBytes(broker.pid) }
  const readers = Array.from({ length: READERS }, () => neverRead(scene, key))
  lab.teardown(() => {
    for (const reader of readers) reader.destroy()
  })
  const giveUpAt = Date.now() + GIVE_UP_MS
  let poured: number[]
  let stillPouring: number
  do {
    poured = upstream.poured()
    await sleep(STILL_MS)
    stillPouring = upstream.poured().filter((bytes, index) => bytes > (poured[index] ?? 0)).length
  } while ((stillPouring > 0 || poured.length < readers.length) && Date.now() < giveUpAt)
  const resident = (residentBytes(broker.pid) - before.resident) / readers.length / MIB
  const held = ((await broker.memoryInUse()) - before.used) / readers.length / MIB
  const others = await Promise.all(Array.from({ length: 20 }, () => ask(scene, key, 'well')))
  const failed = others.filter(({ status }) => status !== 200).length
  lab.say(`${poured.length} streams stand still, ${held.toFixed(2)} MiB of memory each`)
  return {
    what: `${readers.length} clients that never read an endless stream`,
    figure: `${held.toFixed(2)} MiB of the broker's memory each after garbage collection, ${stillPouring} upstreams not held back`,
    worst: `${resident.toFixed(2)} MiB of RSS each; ${(Math.max(...poured) / MIB).toFixed(1)} MiB left upstream for one of them, most of it in socket buffers; ${failed} of ${others.length} other calls failed`,
    required: `≤ ${MAX_MIB} MiB each`,
    reached: held <= MAX_MIB && stillPouring + failed === 0 && poured.length === readers.length,
  }
}

function neverRead({ broker }: WildScene, key: string): Socket {
  const body = bodyOf('pour')
  const { hostname, port } = new URL(broker.origin)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  socket.pause()
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer ${key}\r\n` +
      `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  return socket
}

/** Half of them with a client that never reads what upstream pours, half the other way round. */
async function sockets(lab: Lab, scene: WildScene): Promise<Row> {
  const { broker, upstream } = scene
  const key = await scene.createKey()
  const origin = broker.origin.replace('http:', 'ws:')
  const before = await broker.memoryInUse()
  const clients = Array.from({ length: SOCKETS }, (_, i) => {
    const user = i % 2 === 0 ? 'pour' : 'listen'
    const headers = { authorization: `Bearer ${key}` }
    const client = new WebSocket(`${origin}/v1/realtime?model=wild-model&user=${user}`, { headers })
    client.on('error', () => {})
    client.on('open', () => (user === 'pour' ? client.pause() : pourInto(client)))
    return client
  })
  lab.teardown(() => {
    for (const client of clients) client.terminate()
  })
  const giveUpAt = Date.now() + GIVE_UP_MS
  const left = () => [...clients, ...upstream.sockets].map(leftOf)
  let last: number[]
  let flowing: number
  do {
    last = left()
    await sleep(STILL_MS)
    flowing = left().filter((bytes, i) => bytes > (last[i] ?? 0)).length
  } while ((flowing > 0 || upstream.sockets.length < SOCKETS) && Date.now() < giveUpAt)
  const held = ((await broker.memoryInUse()) - before) / SOCKETS / MIB
  const open = clients.filter((client) => client.readyState === client.OPEN).length
  lab.say(`${open} WebSockets stand still, ${held.toFixed(2)} MiB of memory each`)
  return {
    what: `${SOCKETS} WebSockets of which one side never reads, half of them the client, half upstream`,
    figure: `${held.toFixed(2)} MiB of the broker's memory each after garbage collection, ${flowing} not held back`,
    worst: `${(Math.max(...last) / MIB).toFixed(1)} MiB left one of them, most of it in socket buffers; ${open} still open`,
    required: `≤ ${MAX_MIB} MiB each`,
    reached: held <= MAX_MIB && flowing === 0 && open === SOCKETS,
  }
}
