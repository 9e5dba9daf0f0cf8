import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { freePort } from '../support/free-port.ts'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, type Setup, setUp } from './fixtures/upstream.ts'

const BODY = { model: 'model-a' }

/** An endpoint that treats connections badly, and counts them. */
async function startRude(t: Test, treat: (socket: Socket) => void) {
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    socket.on('error', () => {})
    treat(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return { url: `http://127.0.0.1:${port}/v1`, connections: () => connections }
}

/** Calls the model through a config that points there. */
async function askAt(setup: Setup, url: string, body: object | string = BODY, headers = {}) {
  const id = await addConfig(setup.broker, { name: `at ${url}`, models: ['model-a'], base_url: url })
  const key = await addKey(setup.broker, { model_config_ids: [id] })
  return ask(`${setup.v1}/chat/completions`, { key, body, headers })
}

function isUnreachable(t: Test, answer: Awaited<ReturnType<typeof ask>>): void {
  t.equal(answer.status, 502)
  const { error } = JSON.parse(answer.body.toString())
  t.match(error, { code: 'upstream_unreachable', type: 'server_error', param: null })
  t.notMatch(answer.body.toString(), /ECONN|127\.0\.0\.1|socket/i, 'nothing about the network inside')
  t.match(answer.headers['x-request-id'], /./)
}

t.test('nobody listens there', async (t) => {
  const setup = await setUp(t)
  isUnreachable(t, await askAt(setup, `http://127.0.0.1:${await freePort()}/v1`))
  const good = await ask(`${setup.v1}/chat/completions`, { key: setup.key, body: BODY })
  t.equal(good.status, 200, 'other upstreams are not affected')
})

t.test('it hangs up or talks nonsense before the head; nothing is sent twice', async (t) => {
  const setup = await setUp(t)
  const rude: ((socket: Socket) => void)[] = [
    (socket) => socket.destroy(),
    (socket) => socket.once('data', () => socket.destroy()),
    (socket) => socket.once('data', () => socket.resetAndDestroy()),
    (socket) => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-le')),
    (socket) => socket.once('data', () => socket.end('SSH-2.0-OpenSSH_9\r\n')),
    (socket) => socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)),
  ]
  for (const treat of rude) {
    const { url, connections } = await startRude(t, treat)
    isUnreachable(t, await askAt(setup, url))
    t.equal(connections(), 1)
  }
})

t.test('an upload that breaks half way is not sent again', async (t) => {
  const setup = await setUp(t)
  const { url, connections } = await startRude(t, (socket) => socket.once('data', () => socket.destroy()))
  isUnreachable(t, await askAt(setup, url, 'x'.repeat(200_000), { 'content-type': 'text/plain' }))
  t.equal(connections(), 1)
})

t.test('a redirect elsewhere is an error, never followed', async (t) => {
  const setup = await setUp(t)
  const { url, connections } = await startRude(t, (socket) => socket.end())
  setup.upstream.answer((_, response) => response.writeHead(307, { location: url }).end('moved'))
  const answer = await ask(`${setup.v1}/chat/completions`, { key: setup.key, body: BODY })
  t.equal(answer.status, 502)
  t.equal(answer.headers.location, undefined)
  t.match(JSON.parse(answer.body.toString()), { error: { code: 'upstream_redirected' } })
  t.equal(connections(), 0)
  t.equal(setup.upstream.calls.length, 1)
})
