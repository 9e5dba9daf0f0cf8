import t from 'tap'
import { rawExchange } from '../gateway/fixtures/client.ts'
import { json, setUp } from '../gateway/fixtures/upstream.ts'
import { waitUntil } from '../support/wait-until.ts'

const head = (target: string, key: string, more = '') =>
  `GET ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\n${more}\r\n`
const HANDSHAKE =
  'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

t.test('calls sent at once are made one after the other, and answered in their order', async (t) => {
  const { broker, upstream, key } = await setUp(t)
  let open = 0
  let most = 0
  upstream.answer((request, response) => {
    open += 1
    most = Math.max(most, open)
    setTimeout(() => {
      open -= 1
      json(response, { asked: request.url })
    }, 30)
  })
  const targets = ['/v1/files/1', '/v1/files/2', '/v1/files/3']
  const text = await rawExchange(broker.origin, targets.map((target) => head(target, key)).join(''))
  t.same(text.match(/files\/\d/g), ['files/1', 'files/2', 'files/3'])
  t.equal(most, 1)
})

t.test('behind an answer that ends its connection nothing is a call any more', async (t) => {
  const { broker, upstream, key } = await setUp(t)
  const body = 'Content-Length: 3\r\n'
  const endings = [
    `${head('/v1/../x', key, body)}abc`,
    `${head('/v1/%zz', key, body)}abc`,
    `${head('/nowhere', key, body).replace('GET', 'POST')}abc`,
    `${head('/v1/files/1', 'sk-tb-wrong', body).replace('GET', 'POST')}abc`,
    head('/v1/files/1', key, 'Host: b\r\n'),
  ]
  for (const ending of endings) {
    const text = await rawExchange(broker.origin, ending + head('/v1/files/behind', key).repeat(2))
    t.equal(text.match(/^HTTP\/1\.1 /gm)?.length, 1, ending)
  }
  t.equal(upstream.calls.length, 0)
})

t.test('a handshake behind a call that is not answered yet waits for it', async (t) => {
  const { broker, upstream, key } = await setUp(t)
  let answer: (() => void) | undefined
  upstream.answer((_, response) => {
    answer = () => json(response, { ok: true })
  })
  const exchanged = rawExchange(
    broker.origin,
    head('/v1/files/1', key) + head('/v1/realtime', 'none', HANDSHAKE),
    3_000,
  )
  await waitUntil(() => answer !== undefined)
  answer?.()
  t.match(await exchanged, /^HTTP\/1\.1 200 .*^HTTP\/1\.1 401 /ms)
})
