import { gzipSync } from 'node:zlib'
import t from 'tap'
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

t.test('a stream that upstream breaks off ends with an error event, and then really ends', async (t) => {
  const { broker, upstream, key, v1 } = await setUp(t)
  const halves = ['data: {"i":1}\n\n', 'data: {"i":1}\n\ndata: {"i":', 'data: {"i":1}\n\ndata: {"i":2}\n', '']
  for (const sent of halves) {
    upstream.answer(breaksOff({ 'content-type': 'text/event-stream; charset=utf-8' }, sent || ':\n\n'))
    const answer = await ask(`${v1}/chat/completions`, { key, body: BODY })
    t.equal(answer.status, 200)
    t.equal(answer.isWhole, true, 'the stream is ended as it should be')
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
