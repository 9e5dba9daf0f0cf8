/** A process that may have 300 descriptors, and clients that have more connections than that. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { connectionCap } from '../../src/http/connections.ts'
import { ask } from '../gateway/fixtures/client.ts'
import { addConfig, addKey, json, startUpstream, strictProviders } from '../gateway/fixtures/upstream.ts'
import { startProcess } from '../support/broker-process.ts'
import { waitUntil } from '../support/wait-until.ts'

const DESCRIPTORS = 300
const CAP = connectionCap(DESCRIPTORS)

interface Line {
  readonly socket: Socket
  answer: string
}

async function openLine(t: Test, origin: string, first: string): Promise<Line> {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  const line: Line = { socket, answer: '' }
  socket.setEncoding('latin1').on('error', () => {})
  socket.on('data', (text) => {
    line.answer += text
  })
  t.teardown(() => socket.destroy())
  await once(socket, 'connect').catch(() => {})
  socket.write(first)
  return line
}

const chat = { model: 'sandbox-model', messages: [{ role: 'user', content: 'hi' }] }

t.test('silent and idle connections give way, whoever comes is answered', async (t) => {
  const broker = await startProcess(t, { descriptors: DESCRIPTORS })
  const { origin } = broker
  const key = await broker.practiceKey()
  for (let i = 0; i < 2 * DESCRIPTORS; i += 1) {
    await openLine(t, origin, i % 2 === 0 ? '' : 'GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n')
    if (i % 20 === 0) t.equal((await ask(`${origin}/health/live`)).status, 200, `after ${i}`)
  }
  await waitUntil(
    async () => (await ask(`${origin}/v1/chat/completions`, { key, body: chat })).status === 200,
  )
  t.ok(await broker.isReady())
})

t.test('full of calls it takes no more of them, but says how it is; those it has go on', async (t) => {
  const upstream = await startUpstream(t)
  const held: ServerResponse[] = []
  upstream.answer((_, response) => held.push(response))
  const providers = strictProviders(upstream.origin)
  const broker = await startProcess(t, { descriptors: DESCRIPTORS, providers })
  const { origin } = broker
  await addConfig(broker, { name: 'main', models: ['model-a'] })
  const key = await addKey(broker)
  const body = { ...chat, model: 'model-a' }
  const text = JSON.stringify(body)
  const call = `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`
  const busy: Line[] = []
  while (busy.length < CAP) {
    const line = await openLine(t, origin, call)
    await waitUntil(() => held.length > busy.length || line.answer !== '')
    if (held.length > busy.length) busy.push(line) // else what made the config is not idle for long enough yet
  }
  await waitUntil(async () => (await ask(`${origin}/v1/models`, { key })).status === 503)
  for (let i = 0; i < DESCRIPTORS; i += 1) {
    if (i % 3 > 0) await openLine(t, origin, '')
    else {
      const refused = await ask(`${origin}/v1/chat/completions`, { key, body })
      t.match(refused, { status: 503, headers: { 'retry-after': /\d/, connection: 'close' } })
      t.match(String(refused.body), /"code":"overloaded"/)
    }
    if (i % 20 === 0) t.equal((await ask(`${origin}/health/live`)).status, 200)
  }
  for (const { answer } of busy) t.equal(answer, '')
  t.equal(held.length, CAP)
  upstream.answer((_, response) => json(response, {}))
  for (const response of held) json(response, {})
  for (const line of busy) await waitUntil(() => line.answer.startsWith('HTTP/1.1 200'))
  for (const { socket } of busy) socket.destroy()
  await waitUntil(async () => (await ask(`${origin}/v1/chat/completions`, { key, body })).status === 200)
  t.ok(await broker.isReady())
})

t.test('the cap leaves room for upstream, whatever the limit', (t) => {
  t.equal(connectionCap(undefined), Number.POSITIVE_INFINITY)
  for (const limit of [64, 256, 300, 1_024, 20_000, 1_048_576]) {
    const cap = connectionCap(limit)
    t.ok(cap >= 16 && (cap === 16 || 2 * cap + 132 <= limit), `${limit}: ${cap}`)
  }
  t.end()
})
