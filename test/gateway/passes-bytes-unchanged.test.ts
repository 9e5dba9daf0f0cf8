import { connect } from 'node:net'
import { gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { waitUntil } from '../support/wait-until.ts'
import { ask } from './fixtures/client.ts'
import { json, readAll, setUp } from './fixtures/upstream.ts'

const bytes = fc.uint8Array({ maxLength: 5_000 }).map((array) => Buffer.from(array))

t.test('any bytes go up and come back as they are, JSON or not', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const contentType = fc.constantFrom(
    'application/json',
    'application/octet-stream',
    'audio/mpeg',
    'text/plain',
  )
  const status = fc.constantFrom(200, 201, 400, 402, 404, 409, 422, 429, 500, 503, 529)
  const exact = fc.asyncProperty(bytes, bytes, contentType, status, async (up, down, type, code) => {
    let arrived: Buffer | undefined
    upstream.answer(async (request, response) => {
      arrived = await readAll(request)
      response.writeHead(code, { 'content-type': 'application/octet-stream' }).end(down)
    })
    const answer = await ask(`${v1}/audio/speech`, { key, body: up, headers: { 'content-type': type } })
    return (
      answer.status === code && answer.isWhole && arrived?.equals(up) === true && answer.body.equals(down)
    )
  })
  const run = await fc.check(exact, { numRuns: 150 })
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
})

t.test('every method and the query reach the same path below the base URL', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS']) {
    const answer = await ask(`${v1}/files/file-1/content?after=a%2Fb&limit=2&after=c`, { method, key })
    t.equal(answer.status, 200, method)
    t.equal(answer.body.toString(), method === 'HEAD' ? '' : '{"ok":true}')
    t.match(upstream.calls.at(-1), {
      method,
      url: '/base/v1/files/file-1/content?after=a%2Fb&limit=2&after=c',
    })
  }
  const { length } = upstream.calls
  t.equal((await ask(v1, { key })).status, 404, 'of the base URL itself nothing is asked')
  t.equal(upstream.calls.length, length)
})

t.test('a body comes with its length, and none is made up where there is none', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  await ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
  t.match(upstream.calls.at(-1)?.headers, { 'content-length': '19', 'content-type': 'application/json' })
  await ask(`${v1}/responses/r-1/cancel`, { method: 'POST', key })
  const { headers } = upstream.calls.at(-1) ?? {}
  t.equal(headers?.['content-length'] ?? '0', '0')
  t.equal(headers?.['transfer-encoding'], undefined)
  await ask(`${v1}/files`, { key, body: 'abc', headers: { 'content-type': 'text/plain' } })
  t.equal(upstream.calls.at(-1)?.headers['content-length'], '3')
})

t.test('a compressed answer stays compressed', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const zipped = gzipSync(JSON.stringify({ text: 'x'.repeat(10_000) }))
  upstream.answer((request, response) => {
    t.equal(request.headers['accept-encoding'], 'gzip, br')
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
    response.writeHead(200, headers).end(zipped)
  })
  const answer = await ask(`${v1}/models`, { key, headers: { 'accept-encoding': 'gzip, br' } })
  t.equal(answer.headers['content-encoding'], 'gzip')
  t.ok(answer.body.equals(zipped))
  t.match(gunzipSync(answer.body).toString(), /^\{"text":"x+"\}$/)
})

t.test('pages of gateways in front of upstream pass through', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  for (const status of [200, 403, 502, 504]) {
    const page = `<html><h1>${status}</h1></html>`
    upstream.answer((_, response) => response.writeHead(status, { 'content-type': 'text/html' }).end(page))
    const answer = await ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
    t.equal(answer.status, status)
    t.equal(answer.headers['content-type'], 'text/html')
    t.equal(answer.body.toString(), page)
  }
})

t.test('an answer without a body has none', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  for (const status of [204, 304]) {
    upstream.answer((_, response) => response.writeHead(status, { etag: '"x"' }).end())
    const answer = await ask(`${v1}/files/1`, { key, headers: { 'if-none-match': '"x"' } })
    t.equal(answer.status, status)
    t.equal(answer.headers.etag, '"x"')
    t.equal(answer.body.length, 0)
  }
  upstream.answer((_, response) => response.writeHead(200, { 'content-length': '1234' }).end())
  const head = await ask(`${v1}/files/1`, { key, method: 'HEAD' })
  t.equal(head.headers['content-length'], '1234')
})

t.test('upstream may answer before it has read the whole request', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  upstream.answer((_, response) => json(response, { error: { code: 'too_large' } }, 413))
  const body = Buffer.alloc(300_000, 'x')
  for (const type of ['application/json', 'application/octet-stream']) {
    const answer = await ask(`${v1}/files`, { key, body, headers: { 'content-type': type } })
    t.equal(answer.status, 413, type)
    t.match(answer.body.toString(), /too_large/)
  }
})

t.test('a client that writes all of a large upload before it reads gets the early answer', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  upstream.answer(({ socket }) => {
    socket.pause()
    setTimeout(() => socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 9\r\n\r\ntoo_large'), 300)
  })
  const size = 30_000_000
  const { port } = new URL(v1)
  const client = connect(Number(port), '127.0.0.1') // not Node's HTTP client, which stops writing at an early answer
  t.teardown(() => client.destroy())
  let text = ''
  client.on('data', (bytes) => {
    text += bytes
  })
  client.write(
    `POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\n` +
      `content-type: application/octet-stream\r\ncontent-length: ${size}\r\n\r\n`,
  )
  await new Promise<void>((resolve) => client.write(Buffer.alloc(size), () => resolve()))
  await waitUntil(() => text.includes('too_large'))
  t.match(text, /^HTTP\/1\.1 413 /)
})

t.test('1xx answers and trailers of upstream disturb nothing', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  upstream.answer((_, response) => {
    response.writeProcessing()
    response.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => {
      response.writeHead(200, { 'content-type': 'text/event-stream', trailer: 'x-checksum' })
      response.write('data: 1\n\n')
      response.addTrailers({ 'x-checksum': 'canary' })
      response.end('data: [DONE]\n\n')
    })
  })
  for (let calls = 0; calls < 3; calls += 1) {
    const answer = await ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
    t.equal(answer.status, 200)
    t.equal(answer.body.toString(), 'data: 1\n\ndata: [DONE]\n\n')
    t.equal(answer.headers['trailer'], undefined)
    t.equal(answer.headers['link'], undefined)
  }
})
