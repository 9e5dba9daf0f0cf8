import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import type { Timeouts } from '../../src/http1/pool.ts'
import type { UpstreamCall } from '../../src/upstream/call.ts'
import { TIMEOUTS, UpstreamPool } from '../../src/upstream/pool.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

function openPool(t: Test, timeouts: Partial<Timeouts> = {}): UpstreamPool {
  const pool = new UpstreamPool({ ...TIMEOUTS, ...timeouts })
  t.teardown(() => pool.destroy())
  return pool
}

async function listen(t: Test, server: Server, scheme = 'http'): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  t.teardown(() => server.close())
  return `${scheme}://localhost:${(server.address() as AddressInfo).port}`
}

/** An endpoint on bare sockets: what it is sent, by connection, and how it answers each request. */
async function startRaw(t: Test, answer: (socket: Socket, nth: number) => void) {
  const received: string[] = []
  let requests = 0
  const server = createServer((socket) => {
    const connection = received.push('') - 1
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      const text = bytes.toString('latin1')
      received[connection] += text
      if (/^[A-Z]+ \//.test(text)) answer(socket, ++requests)
    })
  })
  return { origin: await listen(t, server), received }
}

function get(pool: UpstreamPool, origin: string): UpstreamCall {
  return pool.send({ origin, path: '/', method: 'GET', headers: [], body: null })
}

/** The status and the body, or why there is none. */
async function outcome(call: UpstreamCall): Promise<string> {
  try {
    const { status } = await call.head
    const body = await new Promise<string>((resolve) => {
      let text = ''
      call.pipeTo({
        chunk: (bytes) => {
          text += bytes.toString('latin1')
          return true
        },
        end: () => resolve(text),
        fail: ({ code, detail }) => resolve(`${text} ${code} ${detail}`),
      })
    })
    return `${status} ${body}`
  } catch (error) {
    const { code, detail } = error as { code: string; detail: string }
    return `${code} ${detail}`
  }
}

t.test('one caller after another: one connection; at the same time: one each', async (t) => {
  const { origin, received } = await startRaw(t, (socket) => socket.write(OK))
  const pool = openPool(t)
  for (let i = 0; i < 10; i += 1) {
    t.equal(await outcome(get(pool, origin)), '200 ok')
    await sleep(1) // in the turn of the answer itself it cannot be known to be open still
  }
  t.equal(received.length, 1)
  t.same(
    new Set(await Promise.all(Array.from({ length: 5 }, () => outcome(get(pool, origin))))),
    new Set(['200 ok']),
  )
  t.equal(received.length, 5)
})

const SPENT: Record<string, string> = {
  'it says so': 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok',
  'HTTP/1.0': 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok',
  'it is about to be closed': 'HTTP/1.1 200 OK\r\nkeep-alive: timeout=2\r\ncontent-length: 2\r\n\r\nok',
  'more came than was asked for': `${OK}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison`,
}
for (const [why, answer] of Object.entries(SPENT)) {
  t.test(`a connection is not used again: ${why}`, async (t) => {
    const { origin, received } = await startRaw(t, (socket) => socket.write(answer))
    const pool = openPool(t)
    for (let i = 1; i <= 3; i += 1) {
      t.match(await outcome(get(pool, origin)), /^200 ok/)
      t.equal(received.length, i)
    }
  })
}

t.test('bytes that come while nobody waits are nobody’s answer', async (t) => {
  const { origin, received } = await startRaw(t, (socket, nth) => {
    socket.write(OK)
    if (nth === 1) setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison'), 20)
  })
  const pool = openPool(t)
  t.equal(await outcome(get(pool, origin)), '200 ok')
  await sleep(100)
  t.equal(await outcome(get(pool, origin)), '200 ok')
  t.equal(received.length, 2)
})

t.test('no call is lost on a connection that upstream has closed meanwhile', async (t) => {
  const sockets: Socket[] = []
  const { origin } = await startRaw(t, (socket) => {
    sockets.push(socket)
    socket.write(OK)
  })
  const pool = openPool(t)
  for (let round = 0; round < 20; round += 1) {
    await Promise.all([1, 2, 3].map(() => outcome(get(pool, origin))))
    for (const socket of sockets.splice(0)) socket.destroy()
    // Timers run before the event loop looks at sockets: the end of the connection is there, and unread.
    await new Promise((resolve) => setTimeout(resolve, 0))
    t.equal(await outcome(get(pool, origin)), '200 ok')
  }
})

t.test('nor on one that upstream closes right behind its answer, without saying so', async (t) => {
  const { origin, received } = await startRaw(t, (socket) => socket.end(OK))
  const pool = openPool(t)
  for (let i = 0; i < 100; i += 1) t.equal(await outcome(get(pool, origin)), '200 ok')
  t.equal(received.length, 100)
})

t.test(
  'nor on one that has been idle for too long, whatever the clock of the pool has noticed',
  async (t) => {
    const { origin, received } = await startRaw(t, (socket) => socket.write(OK))
    const pool = openPool(t, { idle: 50 })
    await outcome(get(pool, origin))
    await sleep(70)
    await outcome(get(pool, origin))
    t.equal(received.length, 2)
  },
)

t.test('an idle connection is let go before upstream would', async (t) => {
  let closed = 0
  const { origin } = await startRaw(t, (socket) => {
    socket.once('close', () => {
      closed += 1
    })
    socket.write(OK)
  })
  const pool = openPool(t, { idle: 100 })
  await outcome(get(pool, origin))
  // In two steps: after a standstill of the machine the second one lets the socket's end come through.
  await sleep(2_400)
  await sleep(100)
  t.equal(closed, 1)
})

t.test('a call that was cancelled before it was written goes nowhere', async (t) => {
  const { origin, received } = await startRaw(t, (socket) => socket.write(OK))
  const pool = openPool(t)
  const call = get(pool, origin)
  call.cancel()
  t.match(await outcome(call), /^upstream_unreachable/)
  t.equal(await outcome(get(pool, origin)), '200 ok')
  t.equal(received.length, 1)
})

t.test('a header value cannot begin another header', async (t) => {
  const { origin, received } = await startRaw(t, (socket) => socket.write(OK))
  const pool = openPool(t)
  for (const value of ['a\r\nx-evil: 1', 'a\nb', 'a\0', 'a\u0100']) {
    const call = pool.send({ origin, path: '/', method: 'GET', headers: ['x-good', value], body: null })
    t.equal(await outcome(call), 'upstream_unreachable INVALID_HEADER')
  }
  t.same(received.join(''), '')
})

t.test('verification cannot be switched off from outside', async (t) => {
  const server = createHttps(selfSigned(t), (_, response) => response.end())
  const origin = await listen(t, server, 'https')
  const { NODE_TLS_REJECT_UNAUTHORIZED: given } = process.env
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  t.teardown(() => {
    if (given === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = given
  })
  t.equal(await outcome(get(openPool(t), origin)), 'upstream_unreachable DEPTH_ZERO_SELF_SIGNED_CERT')
})

t.test(
  'an upload that upstream does not wait for: its answer counts, and the connection is spent',
  async (t) => {
    const { origin, received } = await startRaw(t, (socket) => socket.write(OK))
    const pool = openPool(t)
    const body = new PassThrough()
    body.write('half of it')
    const request = { origin, path: '/', method: 'POST', headers: [], body, contentLength: '1000' }
    t.equal(await outcome(pool.send(request)), '200 ok')
    t.equal(await outcome(get(pool, origin)), '200 ok')
    t.equal(received.length, 2)
    t.match(received[0], /content-length: 1000\r\n\r\nhalf of it$/)
    body.end('x'.repeat(990))
    await finished(body) // what is left of it is read, and dropped
  },
)

t.test('an answer to half of a large body: the rest is not taken for the next request', async (t) => {
  const { origin, received } = await startRaw(t, (socket) => socket.pause().write(OK))
  const pool = openPool(t)
  const body = Buffer.alloc(50_000_000, 'x')
  t.equal(await outcome(pool.send({ origin, path: '/', method: 'POST', headers: [], body })), '200 ok')
  t.equal(await outcome(get(pool, origin)), '200 ok')
  t.equal(received.length, 2)
})

t.test('a stopped process has not waited: time is counted while it runs', async (t) => {
  const { origin } = await startRaw(t, (socket) => setTimeout(() => socket.write(OK), 50))
  const pool = openPool(t, { head: 600 })
  const call = get(pool, origin)
  await sleep(20)
  const until = performance.now() + 1_500
  while (performance.now() < until); // as if stopped: no event is heard
  t.equal(await outcome(call), '200 ok')
})

t.test('whoever cannot be reached: what the system says, and how long is too long', async (t) => {
  const pool = openPool(t, { head: 100 })
  const server = createServer()
  const origin = await listen(t, server)
  server.close()
  t.match(await outcome(get(pool, origin)), /^upstream_unreachable E?CONN/)
  t.match(
    await outcome(get(pool, 'http://no-such-host.invalid')),
    /^upstream_unreachable (ENOTFOUND|EAI_AGAIN)$/,
  )
  const silent = await startRaw(t, () => {})
  t.equal(await outcome(get(pool, silent.origin)), 'upstream_timeout HEAD_TIMEOUT')
})

/** A certificate for localhost that nobody has signed. */
function selfSigned(t: Test): { key: string; cert: string } {
  const dir = t.testdir()
  const files = ['-keyout', `${dir}/key.pem`, '-out', `${dir}/cert.pem`]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', ...kind, ...files, ...subject], { stdio: 'ignore' })
  return { key: readFileSync(`${dir}/key.pem`, 'utf8'), cert: readFileSync(`${dir}/cert.pem`, 'utf8') }
}

t.test('TLS: verified, and a session is taken up again', async (t) => {
  const pair = selfSigned(t)
  const reused: boolean[] = []
  const bodies: number[] = []
  const server = createHttps(pair, async (request, response) => {
    let size = 0
    for await (const piece of request) size += piece.length
    bodies.push(size)
    if (request.method === 'POST') response.setHeader('connection', 'close')
    response.end('x'.repeat(200_000))
  })
  server.on('secureConnection', (socket: TLSSocket) => reused.push(socket.isSessionReused()))
  const origin = await listen(t, server, 'https')
  const pool = openPool(t)
  t.equal(await outcome(get(pool, origin)), 'upstream_unreachable DEPTH_ZERO_SELF_SIGNED_CERT')
  t.same(bodies, [])

  const trusted = getCACertificates('default')
  setDefaultCACertificates([...trusted, pair.cert])
  t.teardown(() => setDefaultCACertificates(trusted))
  for (let i = 0; i < 3; i += 1) {
    const body = Buffer.alloc(100_000, 'y')
    const call = pool.send({ origin, path: '/', method: 'POST', headers: [], body })
    t.equal(await outcome(call), `200 ${'x'.repeat(200_000)}`)
  }
  t.same(bodies, [100_000, 100_000, 100_000])
  t.same(reused.slice(-2), [true, true])

  // Over TLS a write is over a turn later than over TCP; that is no reason to give a connection up.
  const before = reused.length
  for (let i = 0; i < 30; i += 1) {
    const call = get(pool, `${origin}`)
    const until = performance.now() + 3
    while (performance.now() < until); // a busy turn
    t.match(await outcome(call), /^200 x/)
    await sleep(1)
  }
  t.equal(reused.length, before + 1)
  const elsewhere = origin.replace('localhost', '127.0.0.1')
  t.equal(await outcome(get(pool, elsewhere)), 'upstream_unreachable ERR_TLS_CERT_ALTNAME_INVALID')
})
