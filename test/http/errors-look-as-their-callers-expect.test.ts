import t from 'tap'
import { ask, rawExchange } from '../gateway/fixtures/client.ts'
import { setUp } from '../gateway/fixtures/upstream.ts'

t.test('unknown addresses: in the words of the API they look like', async (t) => {
  const { broker, key, v1 } = await setUp(t)
  for (const path of [
    '/nothing',
    '/api',
    '/api/models',
    '/api/qwen/oauth/nothing',
    '/v2/models',
    '/V1/models',
  ]) {
    const answer = await ask(broker.origin + path)
    t.equal(answer.status, 404, path)
    t.match(JSON.parse(answer.body.toString()), {
      code: 'not_found',
      detail: '地址不存在',
      message: /nothing at this/,
    })
    t.match(answer.headers['x-request-id'], /./)
  }
  const trace = await ask(`${v1}/models`, { method: 'PROPFIND', key })
  t.ok(trace.status === 404 || trace.status === 405)
  t.match(JSON.parse(trace.body.toString()), { error: { type: 'invalid_request_error' } })
})

t.test('addresses nobody can read', async (t) => {
  const { broker, key } = await setUp(t)
  const send = (target: string) =>
    rawExchange(
      broker.origin,
      `GET ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nConnection: close\r\n\r\n`,
    )
  t.match(await send('/v1/%zz'), /^HTTP\/1\.1 400 .*"error":\{"message":/s)
  t.match(await send('/api/%zz'), /^HTTP\/1\.1 400 .*"detail":/s)
  for (const target of ['/v1/%zz', '/api/%zz', '/%zz']) t.match(await send(target), /^x-request-id: \S/im)
})

t.test('what is no HTTP is 400, and no more is read of it', async (t) => {
  const { broker, upstream, key } = await setUp(t)
  const auth = `Host: a\r\nAuthorization: Bearer ${key}\r\n`
  const bad = [
    'hello\r\n\r\n',
    `GET /v1/models HTTP/9.9\r\n${auth}\r\n`,
    `GET /v1/models HTTP/1.1\r\nAuthorization: Bearer ${key}\r\n\r\n`,
    `POST /v1/files HTTP/1.1\r\n${auth}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST /v1/files HTTP/1.1\r\n${auth}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
    `POST /v1/files HTTP/1.1\r\n${auth}Content-Length: -1\r\n\r\n`,
    `POST /v1/files HTTP/1.1\r\n${auth}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    `POST /v1/files HTTP/1.1\r\n${auth}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
    `GET /v1/models HTTP/1.1\r\n${auth}X: a\rb\r\n\r\n`,
    `GET /v1/models HTTP/1.1\r\n${auth}X: a\u0000b\r\n\r\n`,
    `GET /v1/models HTTP/1.1\r\n${auth} X: folded\r\n\r\n`,
    `GET /v1/mod els HTTP/1.1\r\n${auth}\r\n`,
  ]
  for (const bytes of bad) {
    const text = await rawExchange(broker.origin, bytes)
    t.match(text, /^HTTP\/1\.1 400 /, JSON.stringify(bytes).slice(0, 90))
    t.equal(text.match(/HTTP\/1\.1 /g)?.length, 1)
  }
  const long = `GET /v1/models HTTP/1.1\r\n${auth}X: ${'x'.repeat(40_000)}\r\n\r\n`
  t.match(await rawExchange(broker.origin, long), /^HTTP\/1\.1 431 /)
  t.equal(upstream.calls.length, 0)
})

t.test('calls one behind the other on a connection are answered in order', async (t) => {
  const { broker, key } = await setUp(t)
  const call = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\n\r\n`
  const text = await rawExchange(broker.origin, call('/v1/models') + call('/nothing') + call('/health/live'))
  t.same(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 404', 'HTTP/1.1 200'])
})
