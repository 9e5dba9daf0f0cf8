/** Calls through a proxy: by CONNECT, TLS end to end inside, and told apart when it is the proxy that says no. */
import { createServer as createHttp } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { fetch } from 'undici'
import { readProxies } from '../../src/base/proxy-settings.ts'
import { chooseProxy, NO_PROXY } from '../../src/http1/egress-proxy.ts'
import type { HttpRequest } from '../../src/http1/request-head.ts'
import { createAgent, createLoginAgent } from '../../src/upstream/agent.ts'
import { TIMEOUTS, UpstreamPool } from '../../src/upstream/pool.ts'
import { type KeyPair, selfSigned, trust } from '../support/certificates.ts'
import { type ConnectProxy, startProxy, startTls } from '../support/connect-proxy.ts'
import { waitUntil } from '../support/wait-until.ts'

const LARGE = 'x'.repeat(300_000)

/** A plain endpoint that says what it was sent, and a large piece of text. */
async function startEndpoint(t: Test): Promise<number> {
  const server = createHttp(async (request, response) => {
    let body = ''
    for await (const piece of request) body += piece
    response.end(`${request.method} ${request.headers.host} ${body.length} ${LARGE}`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

interface World {
  readonly proxy: ConnectProxy
  ask(origin: string, more?: Partial<HttpRequest>): Promise<string>
}

async function startWorld(t: Test, pair: KeyPair, proxyPair?: KeyPair): Promise<World> {
  const plain = await startEndpoint(t)
  const tls = await startTls(t, pair, { 'model.example': plain, 'other.example': plain })
  const names = {
    'model.example:443': tls,
    'other.example:443': tls,
    'vllm:8000': plain,
    '[fd12::1]:80': plain,
  }
  const proxy = await startProxy(t, names, proxyPair)
  const proxyFor = chooseProxy(readProxies({ HTTPS_PROXY: proxy.url, HTTP_PROXY: proxy.url }))
  const pool = new UpstreamPool({ ...TIMEOUTS, connect: 2_000 }, proxyFor)
  t.teardown(() => pool.destroy())
  const ask = (origin: string, more: Partial<HttpRequest> = {}) =>
    outcome(pool.send({ origin, path: '/', method: 'GET', headers: [], body: null, ...more }))
  return { proxy, ask }
}

async function outcome(call: ReturnType<UpstreamPool['send']>): Promise<string> {
  try {
    await call.head
    return await new Promise<string>((resolve) => {
      let text = ''
      call.pipeTo({
        chunk: (bytes) => {
          text += bytes.toString('latin1')
          return true
        },
        end: () => resolve(text.replace(LARGE, 'whole')),
        fail: ({ code, detail }) => resolve(`${code} ${detail}`),
      })
    })
  } catch (error) {
    const { code, detail } = error as { code: string; detail: string }
    return `${code} ${detail}`
  }
}

t.test('https and plain http, bodies of every kind, one tunnel for one call after another', async (t) => {
  const pair = selfSigned(['model.example'])
  trust(t, pair)
  const { proxy, ask } = await startWorld(t, pair)
  const origin = 'https://model.example'
  t.equal(await ask(origin), 'GET model.example 0 whole')
  await sleep(5) // in the turn of the answer itself a connection cannot be known to be open still
  t.equal(await ask(origin, { method: 'POST', body: Buffer.from('small') }), 'POST model.example 5 whole')
  await sleep(5)
  t.equal(await ask(origin, { method: 'POST', body: Buffer.alloc(99_999) }), 'POST model.example 99999 whole')
  t.same(proxy.asked, ['model.example:443'])

  for (const [to, host] of [
    ['http://vllm:8000', 'vllm:8000'],
    ['http://[fd12::1]', '[fd12::1]'],
  ] as const) {
    const body = new PassThrough()
    body.end(Buffer.alloc(50_000))
    t.equal(await ask(to, { method: 'POST', body }), `POST ${host} 50000 whole`)
  }
  t.same(proxy.asked, ['model.example:443', 'vllm:8000', '[fd12::1]:80'])
})

t.test('the proxy may speak TLS itself, and is verified as well', async (t) => {
  const [pair, proxyPair] = [selfSigned(['model.example']), selfSigned(['localhost'])]
  trust(t, pair)
  const { proxy, ask } = await startWorld(t, pair, proxyPair)
  t.equal(
    await ask('https://model.example'),
    'upstream_unreachable proxy_unreachable DEPTH_ZERO_SELF_SIGNED_CERT',
  )
  t.same(proxy.heard, [], 'an impostor hears no password')
  trust(t, proxyPair)
  t.equal(await ask('https://model.example'), 'GET model.example 0 whole')
  t.equal(await ask('http://vllm:8000'), 'GET vllm:8000 0 whole')
})

t.test('the certificate inside the tunnel is checked against the name that was asked for', async (t) => {
  const pair = selfSigned(['model.example'])
  const { ask, proxy } = await startWorld(t, pair)
  const { NODE_TLS_REJECT_UNAUTHORIZED: given } = process.env
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  t.teardown(() => {
    if (given === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = given
  })
  t.equal(await ask('https://model.example'), 'upstream_unreachable DEPTH_ZERO_SELF_SIGNED_CERT')
  const tls = await startTls(t, pair, {})
  for (const createClient of [createAgent, createLoginAgent]) {
    const through = createClient(chooseProxy(readProxies({ HTTPS_PROXY: proxy.url })))
    const straight = createClient(NO_PROXY)
    t.teardown(() => Promise.all([through.destroy(), straight.destroy()]))
    const cause = { name: 'NeverConnected', code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }
    await t.rejects(fetch('https://model.example', { dispatcher: through }), { cause }, createClient.name)
    await t.rejects(fetch(`https://127.0.0.1:${tls}`, { dispatcher: straight }), { cause }, createClient.name)
  }
  trust(t, pair)
  t.equal(await ask('https://other.example'), 'upstream_unreachable ERR_TLS_CERT_ALTNAME_INVALID')
  t.equal(await ask('https://model.example'), 'GET model.example 0 whole')
})

const REFUSALS: [answer: string, detail: string][] = [
  ['HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', 'proxy_refused 407'],
  ['HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nnope', 'proxy_refused 403'],
  ['HTTP/1.0 502 Bad Gateway\r\n\r\n', 'proxy_refused 502'],
  ['HTTP/1.1 302 Found\r\nlocation: https://evil.example/\r\n\r\n', 'proxy_refused 302'],
  ['SSH-2.0-OpenSSH_9.6\r\n\r\n', 'proxy_malformed'],
  [`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(20_000)}`, 'proxy_malformed'],
  ['HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison', 'proxy_malformed'],
  ['HTTP/1.1 200', 'proxy_broken'],
  ['', 'proxy_broken'],
]
t.test('a proxy that says no, or nothing that makes sense', async (t) => {
  const pair = selfSigned(['model.example'])
  trust(t, pair)
  const { proxy, ask } = await startWorld(t, pair)
  const agent = createAgent(chooseProxy(readProxies({ HTTPS_PROXY: proxy.url })))
  t.teardown(() => agent.destroy())
  for (const [answer, detail] of REFUSALS) {
    proxy.answer = answer
    t.equal(await ask('https://model.example'), `upstream_unreachable ${detail}`, detail)
    const single = fetch('https://model.example', { dispatcher: agent })
    await t.rejects(
      single,
      { cause: { name: 'NeverConnected', code: detail } },
      `${detail}, a single question`,
    )
  }
  proxy.answer = undefined
  t.equal(await ask('https://nowhere.example'), 'upstream_unreachable proxy_refused 502')
  t.equal(await ask('https://model.example'), 'GET model.example 0 whole', 'and all is well again')
  t.equal(
    await (await fetch('https://model.example', { dispatcher: agent })).text(),
    `GET model.example 0 ${LARGE}`,
  )
})

t.test('a proxy with another password, and one that is not there', async (t) => {
  const pair = selfSigned(['model.example'])
  const { proxy } = await startWorld(t, pair)
  const details: [address: string, detail: RegExp][] = [
    [`http://${proxy.host}`, /^upstream_unreachable proxy_refused 407$/],
    [`http://me:wrong@${proxy.host}`, /^upstream_unreachable proxy_refused 407$/],
    ['http://localhost:1', /^upstream_unreachable proxy_unreachable ECONNREFUSED$/],
    ['http://no-such-host.invalid:3128', /^upstream_unreachable proxy_unreachable (ENOTFOUND|EAI_AGAIN)$/],
  ]
  for (const [address, detail] of details) {
    const pool = new UpstreamPool(TIMEOUTS, chooseProxy(readProxies({ HTTPS_PROXY: address })))
    t.teardown(() => pool.destroy())
    const request = { origin: 'https://model.example', path: '/', method: 'GET', headers: [], body: null }
    t.match(await outcome(pool.send(request)), detail)
  }
})

t.test('a proxy that does not answer: a timeout, and giving up leaves nothing behind', async (t) => {
  const silent = createHttp().on('connect', (_request, socket) =>
    socket
      .on('error', () => {})
      .on('end', () => socket.destroy())
      .resume(),
  )
  let open = 0
  silent.on('connection', (socket) => {
    open += 1
    socket.on('close', () => {
      open -= 1
    })
  })
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => silent.close())
  const address = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const impatient = new UpstreamPool(
    { ...TIMEOUTS, connect: 200 },
    chooseProxy(readProxies({ HTTPS_PROXY: address })),
  )
  t.teardown(() => impatient.destroy())
  const request = { origin: 'https://model.example', path: '/', method: 'GET', headers: [], body: null }
  t.equal(await outcome(impatient.send(request)), 'upstream_timeout CONNECT_TIMEOUT')
  const call = impatient.send(request)
  await sleep(50)
  call.cancel()
  t.match(await outcome(call), /^upstream_unreachable Cancelled/)
  await waitUntil(() => open === 0)
})
