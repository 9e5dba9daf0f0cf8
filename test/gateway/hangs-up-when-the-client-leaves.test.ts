import { once } from 'node:events'
import { type ClientRequest, request, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { onMysql } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { open } from './fixtures/client.ts'
import { type Handler, type Setup, setUp } from './fixtures/upstream.ts'

const BODY = { model: 'model-a', stream: true }

/** Answers like `handler` and tells when the connection to it was given up. */
function watch({ upstream }: Setup, handler: Handler): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  upstream.answer((request, response) => {
    response.once('close', () => resolve(performance.now()))
    handler(request, response)
  })
  return promise
}

/** Within a second, which is F8's to prove: here a busy machine may take longer. */
async function isHungUp(t: Test, hungUp: Promise<number>, leftAt: number): Promise<void> {
  const late = new Promise<number>((_, reject) => {
    setTimeout(() => reject(new Error('upstream was never told')), 60_000).unref()
  })
  const ms = (await Promise.race([hungUp, late])) - leftAt
  t.pass(`${Math.round(ms)} ms`)
}

t.test('before upstream has answered', async (t) => {
  const setup = await setUp(t)
  const { broker, upstream, key, v1 } = setup
  const hungUp = watch(setup, () => {})
  const leaving = new AbortController()
  const call = open(`${v1}/chat/completions`, { key, body: BODY, signal: leaving.signal })
  await waitUntil(() => upstream.calls.length === 1)
  const leftAt = performance.now()
  leaving.abort()
  await t.rejects(call)
  await isHungUp(t, hungUp, leftAt)
  await waitUntil(() => broker.log.some((line) => line.includes('"status":499')))
})

async function leaveAStream(t: Test, pour: (response: ServerResponse) => void): Promise<void> {
  const setup = await setUp(t)
  const hungUp = watch(setup, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: x\n\n')
    pour(response)
  })
  const answer = await open(`${setup.v1}/chat/completions`, { key: setup.key, body: BODY })
  await once(answer, 'data')
  const leftAt = performance.now()
  answer.destroy()
  await isHungUp(t, hungUp, leftAt)
}

t.test('in the middle of a stream', (t) =>
  leaveAStream(t, (response) => {
    const timer = setInterval(() => response.write('data: x\n\n'), 10)
    response.once('close', () => clearInterval(timer))
  }),
)

t.test('while upstream says nothing more', (t) => leaveAStream(t, () => {}))

t.test('in the middle of an upload', async (t) => {
  const setup = await setUp(t)
  const { upstream } = setup
  const hungUp = watch(setup, (request) => request.resume())
  const call = upload(setup)
  call.on('error', () => {})
  call.write(Buffer.alloc(100_000))
  await waitUntil(() => upstream.calls.length === 1)
  const leftAt = performance.now()
  call.destroy()
  await isHungUp(t, hungUp, leftAt)
})

t.test('before the body of a JSON call is complete, upstream never hears of it', async (t) => {
  const { broker, upstream, key, v1 } = await setUp(t)
  const call = request(`${v1}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': 1000 },
  })
  call.on('error', () => {})
  call.write('{"model":')
  await sleep(100)
  call.destroy()
  await waitUntil(() => broker.log.some((line) => line.includes('"status":499')))
  t.equal(upstream.calls.length, 0)
})

onMysql(t, 'while its key is read, upstream never hears of it', async (t, { url }) => {
  const { broker, upstream, key, v1 } = await setUp(t, { databaseUrl: url })
  const other = await createConnection(url)
  t.teardown(() => other.end())
  await other.query('lock tables api_keys write')
  const call = request(`${v1}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  })
  call.on('error', () => {})
  call.end(JSON.stringify(BODY))
  await once(call, 'finish')
  await sleep(100)
  call.destroy()
  await sleep(100)
  await other.query('unlock tables')
  await waitUntil(() => broker.log.some((line) => line.includes('"status":499')))
  t.equal(upstream.calls.length, 0)
})

t.test('one that leaves disturbs nobody else', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  upstream.answer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    if (request.url?.endsWith('stay')) setTimeout(() => response.end('data: 2\n\n'), 200)
  })
  const stays = open(`${v1}/stay`, { key, body: BODY })
  const leavers = await Promise.all(
    Array.from({ length: 20 }, () => open(`${v1}/leave`, { key, body: BODY })),
  )
  for (const answer of leavers) answer.destroy()
  let text = ''
  for await (const chunk of await stays) text += chunk
  t.equal(text, 'data: 1\n\ndata: 2\n\n')
})

function upload({ v1, key }: Setup): ClientRequest {
  return request(`${v1}/files`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'multipart/form-data; boundary=x',
      'content-length': 10_000_000,
    },
  })
}
