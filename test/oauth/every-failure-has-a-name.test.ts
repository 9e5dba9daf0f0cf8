import { createServer, type Socket } from 'node:net'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { fetch, request } from 'undici'
import { nameOf, reasonOf } from '../../src/base/failure.ts'
import { NO_PROXY } from '../../src/http1/egress-proxy.ts'
import { ask } from '../../src/oauth/request.ts'
import { exchange } from '../../src/oauth/wire.ts'
import { createLoginAgent } from '../../src/upstream/agent.ts'
import { freePort } from '../support/free-port.ts'

const WORD = /^[a-z]\w*$/i

/** Errors as libraries throw them, and as nobody would. */
const { failure } = fc.letrec((tie) => ({
  failure: fc.oneof(
    { maxDepth: 4 },
    fc.anything(),
    fc
      .constantFrom('TimeoutError', 'AbortError', 'DataCloneError')
      .map((name) => new DOMException('x', name)),
    fc
      .record({
        code: fc.anything(),
        name: fc.anything(),
        cause: tie('failure'),
        errors: fc.array(tie('failure')),
      })
      .map((fields) => Object.assign(new Error('x'), fields)),
    fc.tuple(fc.array(tie('failure')), tie('failure')).map(([errors, cause]) => {
      return new TypeError('fetch failed', { cause: new AggregateError(errors, 'x', { cause }) })
    }),
  ),
}))

t.test('whatever is thrown has a name, and it is a word', async (t) => {
  fc.assert(fc.property(failure, (thrown) => WORD.test(nameOf(thrown))))
  const itself = new Error('x')
  itself.cause = itself
  t.equal(nameOf(itself), 'Error')
  t.equal(nameOf(new DOMException('x', 'TimeoutError')), 'TimeoutError', 'not its number, 23')
  const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED' })
  t.equal(nameOf(new TypeError('fetch failed', { cause: new AggregateError([refused]) })), 'ECONNREFUSED')
})

t.test('time that is up is said in words', async (t) => {
  const hanging = await startServer(t, () => {})
  const dispatcher = createLoginAgent(NO_PROXY)
  t.teardown(() => dispatcher.destroy())
  const asked = (signal: AbortSignal) => request(hanging, { signal, dispatcher })
  for (const ask of [asked, (signal: AbortSignal) => fetch(hanging, { signal, dispatcher })]) {
    const error: unknown = await (ask(AbortSignal.timeout(1)) as Promise<unknown>).catch((thrown) => thrown)
    t.equal(reasonOf(error, 1_500), 'no answer within 1.5 s')
  }
  t.equal(reasonOf(Object.assign(new Error('x'), { code: 'ECONNRESET' }), 1), 'ECONNRESET')
  t.equal(reasonOf('thrown as a text', 1), 'unknown')
})

/** What a server does to the bytes of a request. */
async function startServer(
  t: Test,
  onRequest: (socket: Socket) => void,
  heads: string[] = [],
): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (head) => {
      heads.push(head.toString('latin1'))
      onRequest(socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`
}

t.test('what servers and networks really do is named, and nothing of it rejects', async (t) => {
  const agent = createLoginAgent(NO_PROXY)
  const answerOf = (url: string) =>
    exchange(agent, 5_000, (signal, dispatcher) => ask(dispatcher, url, { headers: {}, signal }))
  const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n'
  const deeds: Record<string, (socket: Socket) => void> = {
    'hangs up': (socket) => socket.end(),
    resets: (socket) => socket.resetAndDestroy(),
    'answers no HTTP': (socket) => socket.end('SSH-2.0-OpenSSH\r\n'),
    'answers half': (socket) => socket.end(`${head}content-length: 100\r\n\r\n{"access_token"`),
    'compresses badly': (socket) =>
      socket.end(`${head}content-encoding: gzip\r\ncontent-length: 4\r\n\r\nnone`),
    'answers a head without end': (socket) => socket.end(`${head}x: ${'x'.repeat(70_000)}\r\n\r\n`),
    'answers 300 kB': (socket) => socket.end(`${head}\r\n${' '.repeat(300_000)}`),
  }
  for (const [what, deed] of Object.entries(deeds)) {
    const answer = await answerOf(await startServer(t, deed))
    t.match(answer, { kind: 'unclear', why: /^[a-z]/i }, what)
  }
  const nowhere = `http://127.0.0.1:${await freePort()}`
  t.same(await answerOf(nowhere), { kind: 'unreachable', why: 'ECONNREFUSED' })
  t.match(await answerOf('http://nowhere.invalid'), { kind: 'unreachable', why: /^(ENOTFOUND|EAI_AGAIN)$/ })
  const plain = (await startServer(t, (socket) => socket.end('HTTP/1.1 400\r\n\r\n'))).replace(
    'http',
    'https',
  )
  t.match(await answerOf(plain), { kind: 'unreachable', why: WORD }, 'TLS to a plain port')
})

t.test('an answer is read that is coded though nobody asked for it', async (t) => {
  const agent = createLoginAgent(NO_PROXY)
  const text = '{"access_token":"a"}'
  const heads: string[] = []
  const codings: Record<string, Buffer> = {
    identity: Buffer.from(text),
    gzip: gzipSync(text),
    'X-GZip': gzipSync(text),
    deflate: deflateSync(text),
    'deflate ': deflateRawSync(text),
    br: brotliCompressSync(text),
    zstd: zstdCompressSync(text),
    'gzip, br': brotliCompressSync(gzipSync(text)),
  }
  const questionOf = async (coding: string, body: Buffer) => {
    const url = await startServer(
      t,
      (socket) => {
        socket.write(
          `HTTP/1.1 200 OK\r\ncontent-encoding: ${coding}\r\ncontent-length: ${body.length}\r\n\r\n`,
        )
        socket.end(body)
      },
      heads,
    )
    return exchange(agent, 5_000, (signal, dispatcher) => ask(dispatcher, url, { headers: {}, signal }))
  }
  for (const [coding, body] of Object.entries(codings))
    t.match(await questionOf(coding, body), { kind: 'answer', body: { access_token: 'a' } }, coding)
  for (const head of heads) t.match(head, /^accept-encoding: identity\r$/im)
  const bomb = gzipSync(Buffer.alloc(300_000, ' '))
  t.match(await questionOf('gzip', bomb), { kind: 'unclear' }, 'what is small but becomes large')
  t.match(await questionOf('compress', Buffer.from('?')), { kind: 'answer', body: undefined })
})
