import { createConnection } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { onNginx } from '../support/nginx.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ask } from './fixtures/client.ts'
import { type Handler, setUp } from './fixtures/upstream.ts'

const BODY = { model: 'model-a', stream: true }

/** Sends a head and some bytes, then cuts the connection. */
function breaksOff(headers: Record<string, string | number>, bytes: string | Buffer): Handler {
  return (_, response) => {
    response.writeHead(200, headers)
    response.write(bytes)
    setTimeout(() => response.socket?.destroy(), 20)
  }
}

/** As a browser or an SDK would read them: what the blank lines divide. */
function eventsOf(body: Buffer): string[] {
  return body
    .toString()
    .split(/\n\n+/)
    .filter((event) => event !== '')
}

t.test('nothing is added to a stream whose length was told: it is cut', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  for (const length of [12, 1_000]) {
    const headers = { 'content-type': 'text/event-stream', 'content-length': length }
    upstream.answer(breaksOff(headers, 'data: 1\n\n'))
    const answer = await ask(`${v1}/chat/completions`, { key, body: BODY })
    t.equal(answer.isWhole, false)
    t.equal(answer.body.toString(), 'data: 1\n\n')
  }
})

t.test('a stream that upstream breaks off ends with an error event, and is then cut', async (t) => {
  const { broker, upstream, key, v1 } = await setUp(t)
  const halves = ['data: {"i":1}\n\n', 'data: {"i":1}\n\ndata: {"i":', 'data: {"i":1}\n\ndata: {"i":2}\n', '']
  for (const sent of halves) {
    upstream.answer(breaksOff({ 'content-type': 'text/event-stream; charset=utf-8' }, sent || ':\n\n'))
    const answer = await ask(`${v1}/chat/completions`, { key, body: BODY })
    t.equal(answer.status, 200)
    t.equal(answer.isWhole, false, 'nobody takes it for a whole answer')
    const [last, ...before] = eventsOf(answer.body).reverse()
    const [name, data] = last?.split('\n') ?? []
    t.equal(name, 'event: error')
    t.match(JSON.parse(data?.replace('data: ', '') ?? ''), {
      error: { code: 'upstream_broken', type: 'server_error', param: null, message: /./ },
    })
    if (sent) t.equal(before.at(-1), 'data: {"i":1}', 'what came before is intact')
  }
  t.equal(upstream.calls.length, halves.length, 'none was sent again')
  const metrics = await broker.admin('GET', '/metrics')
  t.match(metrics.body, new RegExp(`^token_broker_broken_streams_total ${halves.length}$`, 'm'))
})

t.test("a stream of Messages ends with an error event of that API's", async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  upstream.answer(
    breaksOff({ 'content-type': 'text/event-stream' }, 'event: ping\ndata: {"type":"ping"}\n\n'),
  )
  const answer = await ask(`${v1}/messages?beta=true`, { key, body: BODY })
  const [last = ''] = eventsOf(answer.body).reverse()
  t.match(last, /^event: error\ndata: \{/)
  t.match(JSON.parse(last.slice(last.indexOf('{'))), {
    type: 'error',
    error: { type: 'api_error', message: /^token-broker: The model endpoint broke off/ },
    request_id: answer.headers['x-request-id'],
  })
  t.equal(answer.isWhole, false)
})

t.test('whoever reads a little later hears why, too', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  upstream.answer(breaksOff({ 'content-type': 'text/event-stream' }, 'data: 1\n\n'))
  const { body } = await fetch(`${v1}/x`, { headers: { authorization: `Bearer ${key}` } })
  const reader = (body as ReadableStream<Uint8Array>).getReader()
  let text = ''
  while (!text.includes('data: 1')) text += Buffer.from((await reader.read()).value ?? []).toString()
  await sleep(200) // the event has come meanwhile, and nobody has asked for it yet
  t.match(text + Buffer.from((await reader.read()).value ?? []).toString(), '"upstream_broken"')
  await t.rejects(reader.read(), { message: 'terminated' })
})

onNginx(t, 'behind nginx as it comes, the event arrives, and the cut too', async (t, inFrontOf) => {
  const { broker, upstream, key } = await setUp(t)
  const origin = await inFrontOf(broker.origin)
  upstream.answer(breaksOff({ 'content-type': 'text/event-stream' }, 'data: 1\n\n'))
  const answer = await ask(`${origin}/v1/chat/completions`, { key, body: BODY })
  t.match(answer.body.toString(), /^data: 1\n\n\n\nevent: error\ndata: \{.*"upstream_broken".*\}\n\n$/s)
  t.equal(answer.isWhole, false, 'which is no clean end')
})

t.test('to a client of HTTP/1.0, where closing is the end, the connection is reset', async (t) => {
  const { broker, upstream, key } = await setUp(t)
  for (const contentType of ['text/event-stream', 'audio/mpeg']) {
    upstream.answer(breaksOff({ 'content-type': contentType }, 'data: 1\n\n'))
    const { hostname, port } = new URL(broker.origin)
    const socket = createConnection(Number(port), hostname)
    let text = ''
    let error: NodeJS.ErrnoException | undefined
    socket.on('data', (bytes) => (text += bytes)).on('error', (thrown) => (error = thrown))
    socket.write(`GET /v1/x HTTP/1.0\r\nauthorization: Bearer ${key}\r\n\r\n`)
    await waitUntil(() => socket.closed)
    t.equal(error?.code, 'ECONNRESET', contentType)
    t.match(text, 'data: 1\n\n')
    t.equal(text.includes('event: error'), contentType === 'text/event-stream')
  }
})

t.test('any other answer is cut, so that its end is not taken for the real one', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const zipped = gzipSync('data: x\n\n'.repeat(1_000)).subarray(0, 30)
  const broken: Handler[] = [
    breaksOff({ 'content-type': 'application/json' }, '{"choices":['),
    breaksOff({ 'content-type': 'application/json', 'content-length': 100 }, '{"choices":['),
    breaksOff({ 'content-type': 'audio/mpeg' }, Buffer.alloc(5_000)),
    breaksOff({ 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }, zipped),
  ]
  for (const [index, handler] of broken.entries()) {
    upstream.answer(handler)
    const answer = await ask(`${v1}/chat/completions`, { key, body: BODY })
    t.equal(answer.status, 200)
    t.equal(answer.isWhole, false, `answer ${index}`)
    t.notMatch(answer.body.toString('latin1'), 'upstream_broken')
  }
})

t.test('the next call works', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  upstream.answer(breaksOff({ 'content-type': 'text/event-stream' }, 'data: x\n\n'))
  await ask(`${v1}/chat/completions`, { key, body: BODY })
  upstream.answer((_, response) => response.end('fine'))
  t.equal((await ask(`${v1}/chat/completions`, { key, body: BODY })).body.toString(), 'fine')
})
