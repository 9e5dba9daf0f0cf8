import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { setUpRealtime } from '../gateway/fixtures/realtime.ts'
import { json, readAll, setUp } from '../gateway/fixtures/upstream.ts'
import { waitUntil } from '../support/wait-until.ts'

/** What Java's HttpClient sends over http. */
const JAVA =
  'Connection: Upgrade, HTTP2-Settings\r\nHost: a\r\n' +
  'HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAABgAGAAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/17.0.15\r\n'

/** Writes pieces to one connection, each once the answers to those before are there; gives all that came back. */
async function talk(origin: string, pieces: { bytes: string; answers: number }[]): Promise<string> {
  const { port } = new URL(origin)
  const socket = connect(Number(port), '127.0.0.1')
  await once(socket, 'connect')
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  for (const { bytes, answers } of pieces) {
    socket.write(bytes)
    if (answers > 0) await waitUntil(() => (text.match(/HTTP\/1\.1 /g)?.length ?? 0) >= answers)
    else await new Promise((resolve) => setTimeout(resolve, 20))
  }
  socket.destroy()
  return text
}

t.test(
  'a call that asks for h2c is answered as if it had not, on every route, and so is the next one',
  async (t) => {
    const { broker, upstream, key } = await setUp(t)
    upstream.answer(async (request, response) => {
      json(response, { ok: true, method: request.method, body: (await readAll(request)).toString() })
    })
    const auth = `Authorization: Bearer ${key}\r\n`
    const admin = `Authorization: Bearer ${broker.adminToken}\r\n`
    const jsonOf = (body: string) => `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`
    const chat = '{"model":"model-a"}'
    const named = '{"name":"another"}'
    const calls: [call: string, expected: RegExp][] = [
      [`GET /v1/files HTTP/1.1\r\n${auth}${JAVA}\r\n`, /^HTTP\/1\.1 200 .*"method":"GET"/s],
      [`POST /v1/chat/completions HTTP/1.1\r\n${auth}${jsonOf(chat)}${JAVA}\r\n${chat}`, /200 .*model-a/s],
      [
        `POST /v1/files HTTP/1.1\r\n${auth}Transfer-Encoding: chunked\r\n${JAVA}\r\n3\r\nabc\r\n0\r\n\r\n`,
        /"body":"abc"/,
      ],
      [`POST /v1/files HTTP/1.1\r\n${auth}Content-Length: 0\r\n${JAVA}\r\n`, /200 .*"body":""/s],
      [`GET /v1/files HTTP/1.1\r\n${JAVA}\r\n`, /401 .*invalid_api_key/s],
      [`GET /health/live HTTP/1.1\r\n${JAVA}\r\n`, /200 .*"ok"/s],
      [`GET / HTTP/1.1\r\n${JAVA}\r\n`, /200 .*<!doctype html>/is],
      [`GET /api/keys HTTP/1.1\r\n${admin}${JAVA}\r\n`, /200 .*"total"|200 .*"items"/s],
      [`POST /api/keys HTTP/1.1\r\n${admin}${jsonOf(named)}${JAVA}\r\n${named}`, /201 .*sk-tb-/s],
      [`GET /nowhere HTTP/1.1\r\n${JAVA}\r\n`, /404 .*not_found/s],
    ]
    const kinds = ['h2c', 'H2C', 'TLS/1.0, HTTP/2.0', 'foo', 'websockets', 'h2c, x-websocket']
    for (const [call, expected] of calls) {
      for (const kind of call.startsWith('GET /v1') ? kinds : ['h2c']) {
        const bytes = call.replace('Upgrade: h2c', `Upgrade: ${kind}`)
        const next = `GET /health/live HTTP/1.1\r\n${JAVA}\r\n`
        const text = await talk(broker.origin, [
          { bytes, answers: 1 },
          { bytes: next, answers: 2 },
        ])
        t.match(text, expected, `${bytes.split('\r\n')[0]} ${kind}`)
        t.notMatch(text, /HTTP\/1\.1 (400|405|101)/)
      }
    }
  },
)

t.test('a body that comes in pieces behind such a head arrives whole', async (t) => {
  const { broker, upstream, key } = await setUp(t)
  upstream.answer(async (request, response) => json(response, { body: (await readAll(request)).toString() }))
  const head = `POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer ${key}\r\n`
  const text = await talk(broker.origin, [
    {
      bytes: `${head}Content-Type: application/json\r\nContent-Length: 19\r\n${JAVA}\r\n{"model"`,
      answers: 0,
    },
    { bytes: ':"model-a"}', answers: 1 },
  ])
  t.match(text, /200 OK/)
  t.match(text, /model-a/)
})

t.test('a websocket handshake is one still, and only with GET', async (t) => {
  const { broker, key } = await setUpRealtime(t)
  const websocket =
    `Host: a\r\nAuthorization: Bearer ${key}\r\nConnection: keep-alive, Upgrade\r\n` +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  for (const kind of ['websocket', 'WebSocket']) {
    const head = `GET /v1/realtime?model=model-a HTTP/1.1\r\n${websocket}Upgrade: ${kind}\r\n\r\n`
    t.match(await talk(broker.origin, [{ bytes: head, answers: 1 }]), /^HTTP\/1\.1 101 /, kind)
  }
  const post = `POST /v1/files HTTP/1.1\r\n${websocket}Upgrade: websocket\r\nContent-Length: 0\r\n\r\n`
  t.match(await talk(broker.origin, [{ bytes: post, answers: 1 }]), /^HTTP\/1\.1 200 /)
})
