import { request } from 'node:http'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import t from 'tap'
import type { HeaderList } from '../../src/http1/header-list.ts'
import { MalformedResponse } from '../../src/http1/response-head.ts'
import { ResponseParser } from '../../src/http1/response-parser.ts'

interface Answer {
  status: number
  headers: HeaderList
  body: string
  isWhole: boolean
}

const NO_ANSWER: Answer = { status: 0, headers: [], body: '', isWhole: false }

class Reader {
  readonly answers: Answer[] = []
  readonly parser = new ResponseParser({
    onHead: (status, headers) => this.answers.push({ status, headers, body: '', isWhole: false }),
    onData: (bytes) => {
      t.not(bytes.length, 0, 'no piece is empty')
      this.#last().body += bytes.toString('latin1')
      bytes.fill(0x21) // lent: whatever is still needed of them must not be in there
    },
    onEnd: () => {
      this.#last().isWhole = true
    },
  })

  #last(): Answer {
    return this.answers.at(-1) ?? NO_ANSWER
  }
}

/** All of a connection, in pieces that change once they are read. */
function readAll(text: string, methods: string[], cuts: number[] = []): Answer[] {
  const reader = new Reader()
  const waiting = [...methods]
  const next = () => {
    const method = waiting.shift()
    if (method !== undefined) reader.parser.expect(method)
  }
  next()
  let at = 0
  for (const end of [...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length]) {
    if (end === at) continue
    reader.parser.push(Buffer.from(text.slice(at, end), 'latin1'))
    at = end
    if (reader.answers.length < methods.length && reader.answers.at(-1)?.isWhole) next()
  }
  reader.parser.finish()
  return reader.answers
}

const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}$/)
const value = fc.stringMatching(
  /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]{0,30}[\x21-\x7e\x80-\xff])?)?$/,
)
const headers = fc.array(
  fc.tuple(
    token.filter((name) => !/^(content-length|transfer-encoding|connection|keep-alive)$/i.test(name)),
    value,
  ),
  { maxLength: 8 },
)
const body = fc.uint8Array({ maxLength: 3_000 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
const framing = fc.oneof(
  fc.constant({ kind: 'sized' as const }),
  fc.constant({ kind: 'until close' as const }),
  fc.record({
    kind: fc.constant('chunked' as const),
    sizes: fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 }),
    extension: fc.constantFrom('', ';a', ';a=b;c="d e"'),
    trailer: fc.constantFrom('', 'x-sum: 1\r\n', 'a:\r\nb: c\r\n'),
  }),
)
const cuts = fc.array(fc.nat(8_000), { maxLength: 40 })
const response = fc.record({
  status: fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204 && status !== 304),
  reason: fc.constantFrom('', ' ', ' OK', ' Not Found', ' d\xe9j\xe0 vu'),
  early: fc.constantFrom(
    '',
    'HTTP/1.1 100 Continue\r\n\r\n',
    'HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n',
  ),
  headers,
  body,
  framing,
})

type Made = typeof response extends fc.Arbitrary<infer Value> ? Value : never

function write({ status, reason, early, headers, body, framing }: Made): string {
  let framed = body
  let length = ''
  if (framing.kind === 'sized') length = `Content-Length: ${body.length}\r\n`
  if (framing.kind === 'chunked') {
    length = 'Transfer-Encoding: Chunked\r\n'
    framed = ''
    for (let at = 0, i = 0; at < body.length; i += 1) {
      const size = framing.sizes[i % framing.sizes.length] ?? 1
      const chunk = body.slice(at, at + size)
      framed += `${chunk.length.toString(16)}${framing.extension}\r\n${chunk}\r\n`
      at += size
    }
    framed += `000${framing.extension}\r\n${framing.trailer}\r\n`
  }
  const lines = headers.map(([name, value]) => `${name}: \t${value} \r\n`).join('')
  return `${early}HTTP/1.1 ${status}${reason}\r\n${lines}${length}\r\n${framed}`
}

t.test('a well-made answer is read as it was meant, wherever the network cuts it', async (t) => {
  const run = fc.check(
    fc.property(response, cuts, (made, cuts) => {
      const [answer, ...more] = readAll(write(made), ['GET'], cuts)
      const sent = made.headers.flatMap(([name, value]) => [name.toLowerCase(), value])
      const isSame = answer?.status === made.status && answer.isWhole && answer.body === made.body
      return isSame && more.length === 0 && sent.every((text, i) => answer.headers[i] === text)
    }),
    { numRuns: 500 },
  )
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
})

t.test('what one read brought comes in one piece, however many chunks it was sent in', async (t) => {
  let pieces = 0
  const parser = new ResponseParser({
    onHead() {},
    onData: () => {
      pieces += 1
    },
    onEnd() {},
  })
  parser.expect('GET')
  parser.push(
    Buffer.from(`HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n${'3\r\nabc\r\n'.repeat(100)}0\r\n\r\n`),
  )
  t.equal(pieces, 1)
})

/** How Node's own client reads the same bytes; undefined if it refuses. */
function readByNode(text: string, method: string): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const socket = new Duplex({ read() {}, write: (_bytes, _encoding, done) => done() })
    const call = request({ method, createConnection: () => socket as never }, (incoming) => {
      const answer: Answer = { status: incoming.statusCode ?? 0, headers: [], body: '', isWhole: false }
      for (const [i, part] of incoming.rawHeaders.entries())
        answer.headers.push(i % 2 === 0 ? part.toLowerCase() : part)
      incoming.setEncoding('latin1').on('data', (piece) => {
        answer.body += piece
      })
      incoming.on('error', () => resolve(undefined))
      incoming.on('end', () => resolve({ ...answer, isWhole: incoming.complete }))
    })
    call.on('error', () => resolve(undefined))
    call.end()
    socket.push(Buffer.from(text, 'latin1'))
    socket.push(null)
  })
}

t.test('what we take, Node takes alike: no answer is read in two ways', async (t) => {
  const edit = fc.record({
    at: fc.nat(300),
    drop: fc.nat(3),
    insert: fc.constantFrom(
      '',
      '\r',
      '\n',
      '\r\n',
      '\0',
      ' ',
      ':',
      '0',
      '1',
      'x',
      ';',
      ',',
      '\x80',
      '\r\n ',
      'content-length: 5\r\n',
      'transfer-encoding: chunked\r\n',
    ),
  })
  const edits = fc.array(edit, { minLength: 1, maxLength: 3 })
  let taken = 0
  const property = fc.asyncProperty(
    response,
    edits,
    fc.constantFrom('GET', 'POST', 'HEAD'),
    async (made, edits, method) => {
      let text = write({ ...made, body: made.body.slice(0, 60) })
      for (const { at, drop, insert } of edits) text = text.slice(0, at) + insert + text.slice(at + drop)
      let ours: Answer | undefined
      try {
        ours = readAll(text, [method])[0]
      } catch (error) {
        if (error instanceof MalformedResponse) return true
        throw error
      }
      if (!ours?.isWhole) return true
      taken += 1
      const theirs = await readByNode(text, method)
      return (
        theirs !== undefined &&
        theirs.status === ours.status &&
        theirs.body === ours.body &&
        fc.stringify(theirs.headers) === fc.stringify(ours.headers)
      )
    },
  )
  const run = await fc.check(property, { numRuns: 3_000 })
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
  t.ok(taken > 100, `${taken} of the mangled answers are still answers`)
})

t.test('what could be read in two ways is refused', async (t) => {
  const OK = 'HTTP/1.1 200 OK\r\n'
  const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`
  const bad: Record<string, string> = {
    'not HTTP': 'SSH-2.0-OpenSSH_9\r\n\r\n',
    'another version': 'HTTP/2 200\r\n\r\n',
    'no status': 'HTTP/1.1 OK\r\n\r\n',
    'two lengths': `${OK}content-length: 1\r\ncontent-length: 2\r\n\r\nab`,
    'a length twice': `${OK}content-length: 1\r\ncontent-length: 1\r\n\r\na`,
    'a list of lengths': `${OK}content-length: 1, 1\r\n\r\na`,
    'a length with a sign': `${OK}content-length: +1\r\n\r\na`,
    'a length and chunks': `${OK}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    'another coding': `${OK}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    'chunked twice': `${OK}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    'chunks in HTTP/1.0': 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'a folded header': `${OK}a: b\r\n c\r\ncontent-length: 0\r\n\r\n`,
    'a blank before the colon': `${OK}a : b\r\n\r\n`,
    'a bare line feed': `${OK}a: b\ncontent-length: 0\r\n\r\n`,
    'a zero byte': `${OK}a: b\0\r\n\r\n`,
    'no name': `${OK}: b\r\n\r\n`,
    'a new protocol': 'HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n',
    'an early answer in HTTP/1.0': `HTTP/1.0 100 Continue\r\n\r\n${OK}\r\n`,
    'a size that is none': `${CHUNKED}zz\r\n`,
    'a size with a sign': `${CHUNKED}-1\r\n`,
    'a size beyond numbers': `${CHUNKED}${'f'.repeat(20)}\r\n`,
    'a chunk that is too long': `${CHUNKED}1\r\nabc\r\n`,
    'a trailer that is none': `${CHUNKED}0\r\nabc\r\n\r\n`,
    'a length behind the body': `${CHUNKED}0\r\nContent-Length: 0\r\n\r\n`,
    'an endless head': `${OK}a: ${'b'.repeat(20_000)}`,
    'an endless size': `${CHUNKED}1;${'b'.repeat(20_000)}`,
    'endless trailers': `${CHUNKED}0\r\n${'a: b\r\n'.repeat(5_000)}`,
    'bytes nobody asked for': `${OK}content-length: 1\r\n\r\nabHTTP/1.1 200 OK`,
  }
  for (const [what, text] of Object.entries(bad)) {
    t.throws(() => readAll(text, ['GET']), MalformedResponse, what)
    const everywhere = Array.from({ length: Math.min(text.length, 300) }, (_, at) => at)
    t.throws(() => readAll(text, ['GET'], everywhere), MalformedResponse, `${what}, byte by byte`)
  }
})

t.test('what came whole before a malformed chunk is handed over', async (t) => {
  const reader = new Reader()
  reader.parser.expect('GET')
  const text = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\nzz\r\n'
  t.throws(() => reader.parser.push(Buffer.from(text)), MalformedResponse)
  t.match(reader.answers, [{ body: 'abcde', isWhole: false }])
})

t.test('an answer that breaks off is not whole', async (t) => {
  for (const text of [
    'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n',
  ]) {
    t.match(readAll(text, ['GET']), [{ status: 200, body: 'ab', isWhole: false }])
  }
  t.same(readAll('HTTP/1.1 200 OK\r\ncontent-le', ['GET']), [])
})

t.test('answers that have no body have none, whatever they say', async (t) => {
  for (const [method, head] of [
    ['HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n'],
    ['HEAD', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['GET', 'HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\n\r\n'],
  ] as const) {
    t.match(readAll(head, [method]), [{ body: '', isWhole: true }])
  }
})

t.test('a connection serves on only if both sides know where the answer ended', async (t) => {
  const cases: [text: string, method: string, keepsAlive: boolean, seconds?: number][] = [
    ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', 'GET', true],
    ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\nkeep-alive: max=9, timeout=5\r\n\r\n', 'GET', true, 5],
    ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: x, Close\r\n\r\n', 'GET', false],
    ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: enclosed\r\n\r\n', 'GET', true],
    ['HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n', 'GET', false],
    ['HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: Keep-Alive\r\n\r\n', 'GET', false],
    ['HTTP/1.1 200 OK\r\n\r\nabc', 'GET', false],
    ['HTTP/1.1 204 No\r\ncontent-length: 3\r\n\r\n', 'GET', false],
    ['HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n', 'HEAD', true],
  ]
  for (const [text, method, keepsAlive, seconds] of cases) {
    const reader = new Reader()
    reader.parser.expect(method)
    reader.parser.push(Buffer.from(text))
    t.equal(reader.parser.keepsAlive, keepsAlive, text)
    t.equal(reader.parser.keepAliveSeconds, seconds, text)
  }
})
