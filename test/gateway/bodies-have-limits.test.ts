import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import t from 'tap'
import { memoryAfterCollecting } from '../support/memory-after-collecting.ts'
import { ask, finish, rawExchange } from './fixtures/client.ts'
import { addConfig, addKey, json, setUp } from './fixtures/upstream.ts'

const MIB = 1024 * 1024

t.test('a body that is no JSON goes up as it is: upstream says what is wrong', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const odd = [
    '',
    '{',
    '{"model":',
    '{"model":"model-a"',
    'null',
    '[]',
    '"x"',
    '{}}',
    '{"a":1,}',
    '\u0000',
    '}{',
  ]
  const deep = ['['.repeat(100_000), '{"a":'.repeat(100_000), `{"a":${'['.repeat(50_000)}`]
  for (const body of [...odd, ...deep, `{"model":"${'m'.repeat(100_000)}`]) {
    const before = upstream.calls.length
    const answer = await ask(`${v1}/chat/completions`, {
      key,
      body,
      headers: { 'content-type': 'application/json' },
    })
    t.equal(answer.status, 200, JSON.stringify(body.slice(0, 20)))
    t.equal(upstream.calls.length, before + 1)
    t.equal(upstream.calls.at(-1)?.headers['content-length'] ?? '0', String(Buffer.byteLength(body)))
  }
})

t.test('JSON up to 20 MiB is taken, one byte more is refused, however it is announced', async (t) => {
  const { broker, upstream, key, configId, v1 } = await setUp(t)
  const second = await addConfig(broker, { name: 'second', models: ['model-b'] })
  const ofTwo = await addKey(broker, { model_config_ids: [configId, second] }) // whose config the model decides
  let arrived = 0
  upstream.answer(async (request, response) => {
    arrived = 0
    for await (const chunk of request) arrived += chunk.length
    json(response, {})
  })
  const headers = { 'content-type': 'application/json; charset=utf-8' }
  const largest = Buffer.alloc(20 * MIB, ' ')
  t.equal((await ask(`${v1}/embeddings`, { key, body: largest, headers })).status, 200)
  t.equal(arrived, largest.length)

  const tooLarge = Buffer.alloc(20 * MIB + 1, ' ')
  const before = upstream.calls.length
  for (const more of [{}, { 'transfer-encoding': 'chunked' }]) {
    const length = 'transfer-encoding' in more ? undefined : String(tooLarge.length)
    const call = request(`${v1}/embeddings`, {
      method: 'POST',
      headers: {
        ...headers,
        ...more,
        authorization: `Bearer ${ofTwo}`,
        ...(length && { 'content-length': length }),
      },
    })
    call.on('error', () => {})
    call.end(tooLarge)
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    const answer = await finish(response)
    t.equal(answer.status, 413)
    t.match(JSON.parse(answer.body.toString()), {
      error: { code: 'request_too_large', type: 'invalid_request_error' },
    })
    t.equal(answer.headers.connection, 'close', 'what was not read is no next request')
  }
  t.equal(upstream.calls.length, before)
  t.equal((await ask(`${v1}/embeddings`, { key, body: { model: 'model-a' } })).status, 200)
})

t.test('an upload goes no faster than upstream takes it, and is never held in memory', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const size = 50 * MIB
  const halted = Promise.withResolvers<() => void>()
  const hash = createHash('sha256')
  upstream.answer(async (request, response) => {
    let bytes = 0
    for await (const chunk of request) {
      hash.update(chunk)
      bytes += chunk.length
      if (bytes > size / 2 && bytes - chunk.length <= size / 2) {
        await new Promise<void>((resolve) => halted.resolve(resolve))
      }
    }
    json(response, { bytes })
  })
  const memory = memoryAfterCollecting()
  const chunk = randomBytes(64 * 1024)
  const call = request(`${v1}/files`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'multipart/form-data; boundary=x',
      'content-length': size,
    },
  })
  const expected = createHash('sha256')
  let written = 0
  const sending = (async () => {
    for (; written < size; written += chunk.length) {
      expected.update(chunk)
      if (!call.write(chunk)) await once(call, 'drain')
    }
    call.end()
  })()
  const goOn = await halted.promise
  let seen = -1
  while (seen !== written) {
    seen = written
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  t.ok(written < size, `the client waits at ${Math.round(written / MIB)} MiB`)
  const grownBy = (memoryAfterCollecting() - memory) / MIB
  t.ok(grownBy < 6, `${grownBy.toFixed(1)} MiB more than before`)
  goOn()
  await sending
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  t.same(JSON.parse((await finish(response)).body.toString()), { bytes: size })
  t.equal(hash.digest('hex'), expected.digest('hex'))
})

t.test('what was not read of a body is not taken for the next call', async (t) => {
  const { broker, upstream, key } = await setUp(t)
  const next = `GET /v1/smuggled HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\n\r\n`
  for (const type of ['text/plain', 'application/json']) {
    // Without a key it is answered before its body was read.
    const head = `POST /v1/files HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: ${next.length}\r\n\r\n`
    const text = await rawExchange(broker.origin, head + next)
    t.equal(text.match(/HTTP\/1\.1 \d+/g)?.join(), 'HTTP/1.1 401')
  }
  t.equal(upstream.calls.length, 0)
})
