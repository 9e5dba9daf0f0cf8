/** What calls hold of their bodies is counted while it is held: for each key, and in total. */
import { connect, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { memoryLimit } from '../../src/base/memory.ts'
import { HeldBodies, Hold } from '../../src/gateway/held-bodies.ts'
import { memoryAfterCollecting } from '../support/memory-after-collecting.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, type Handler, setUp } from './fixtures/upstream.ts'

const MIB = 1024 * 1024
const CALLS = 24
const JSON_BODY = { model: 'model-a' }

interface OpenCall {
  readonly socket: Socket
  answer: string
}

/** Sends as it is told, and keeps what comes back. */
function openCall(origin: string, key: string, headers: string[], body?: Buffer): OpenCall {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  const call: OpenCall = { socket, answer: '' }
  socket.on('error', () => {}).setEncoding('latin1')
  socket.on('data', (text) => {
    call.answer += text
  })
  const lines = ['POST /v1/embeddings HTTP/1.1', 'Host: a', `Authorization: Bearer ${key}`, ...headers]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  if (body) socket.write(body)
  return call
}

const json = 'Content-Type: application/json'
/** 15 MiB of JSON that name a model, in some 15 kB. */
const zipped = gzipSync(Buffer.concat([Buffer.from('{"model":"model-a"}'), Buffer.alloc(15 * MIB, ' ')]))
const mebibyte = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(MIB, ' '), Buffer.from('\r\n')])

/** How a body is sent, and how many calls of 64 MiB fit. */
const KINDS: [name: string, headers: string[], body: Buffer | undefined, fitting: number][] = [
  ['announced, and not a byte of it sent', [json, `Content-Length: ${20 * MIB}`], undefined, 3],
  [
    'in chunks, without its end',
    [json, 'Transfer-Encoding: chunked'],
    Buffer.concat(Array(10).fill(mebibyte)),
    6,
  ],
  [
    'a form, of which the model has not come',
    ['Content-Type: multipart/form-data; boundary=x', 'Transfer-Encoding: chunked'],
    Buffer.concat([Buffer.from('5\r\n--x\r\n\r\n'), ...Array(10).fill(mebibyte)]),
    6,
  ],
  [
    'compressed, whole and waiting for upstream',
    [json, 'Content-Encoding: gzip', `Content-Length: ${zipped.length}`],
    zipped,
    4,
  ],
]

async function stillWorks(t: Test, v1: string, key: string): Promise<void> {
  const { status } = await ask(`${v1}/chat/completions`, { key, body: JSON_BODY })
  t.equal(status, 200)
}

for (const [name, headers, body, fitting] of KINDS) {
  t.test(`${CALLS} calls of one key: ${name}`, async (t) => {
    const { broker, upstream, key, v1 } = await setUp(t)
    const other = await addKey(broker)
    upstream.answer((request, response) => {
      if (request.url?.endsWith('/chat/completions')) response.end('{}')
    })
    const calls = Array.from({ length: CALLS }, () => openCall(broker.origin, key, headers, body))
    const refused = () => calls.filter(({ answer }) => answer !== '')
    await waitUntil(() => refused().length === CALLS - fitting)
    for (const { answer } of refused()) {
      t.match(answer, /^HTTP\/1\.1 429 .*retry-after: \d.*64 MiB.*rate_limit_exceeded/is)
    }
    await stillWorks(t, v1, other)
    for (const { socket } of calls) socket.destroy()
    const isFree = async () => {
      const again = openCall(broker.origin, key, KINDS[0]?.[1] ?? [])
      await new Promise((resolve) => setTimeout(resolve, 200))
      again.socket.destroy()
      return again.answer === ''
    }
    await waitUntil(isFree)
    t.equal(refused().length, CALLS - fitting, 'those that fitted were never refused')
    await stillWorks(t, v1, key)
  })
}

t.test('what an answer goes on for is held no more', async (t) => {
  const { broker, upstream, key, v1 } = await setUp(t)
  upstream.answer((_, response) => response.write('{'))
  const headers = [json, 'Content-Encoding: gzip', `Content-Length: ${zipped.length}`]
  const calls: OpenCall[] = []
  for (let i = 0; i < 10; i += 1) {
    const call = openCall(broker.origin, key, headers, zipped)
    calls.push(call)
    await waitUntil(() => call.answer !== '')
    t.match(call.answer, /^HTTP\/1\.1 200 /)
  }
  for (const { socket } of calls) socket.destroy()
  upstream.answer((_, response) => response.end('{}'))
  await stillWorks(t, v1, key)
})

const BODY_MIB = 8
const spaces = Buffer.alloc(BODY_MIB * MIB, ' ')
const named = Buffer.concat([Buffer.from('{"model":"model-a"}'), spaces])
const part = (name: string) => `--x\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n`
const form = Buffer.concat([
  Buffer.from(part('file')),
  spaces,
  Buffer.from(`\r\n${part('model')}model-a\r\n--x--\r\n`),
])
const formType = 'Content-Type: multipart/form-data; boundary=x'
/** Kept as a whole until an answer goes on. */
const WHOLE: [name: string, headers: string[], body: Buffer][] = [
  ['JSON', [json, `Content-Length: ${named.length}`], named],
  ['compressed JSON', [json, 'Content-Encoding: gzip', `Content-Length: ${zipped.length}`], zipped],
  ['a form with its model at the end', [formType, `Content-Length: ${form.length}`], form],
]
const ANSWERS: [name: string, answer: Handler, expected: RegExp][] = [
  [
    'while a stream lasts',
    (request, response) => {
      request.resume()
      response.setHeader('content-type', 'text/event-stream').write('data: {}\n\n')
    },
    /200 .*data: \{\}/s,
  ],
  [
    'while the connection idles behind a whole answer',
    (request, response) => void request.resume().on('end', () => response.end('{"a":1}')),
    /200 .*\{"a":1\}/s,
  ],
  [
    'while the connection idles behind an error',
    (request, response) => void request.resume().on('end', () => response.destroy()),
    /50[24] .*upstream_unreachable/s,
  ],
]

for (const [name, headers, body] of WHOLE) {
  for (const [when, answer, expected] of ANSWERS) {
    t.test(`${name} is not in memory ${when}`, async (t) => {
      const { broker, upstream, key } = await setUp(t)
      upstream.answer(answer)
      const before = memoryAfterCollecting()
      const calls: OpenCall[] = []
      for (let i = 0; i < 6; i += 1) {
        const call = openCall(broker.origin, key, headers, body)
        calls.push(call)
        await waitUntil(() => expected.test(call.answer))
      }
      let grownBy = Number.POSITIVE_INFINITY
      const isGone = () => {
        grownBy = (memoryAfterCollecting() - before) / MIB
        return grownBy < BODY_MIB
      }
      await waitUntil(isGone).catch(() => {})
      t.ok(isGone(), `${grownBy.toFixed(1)} MiB more`)
      t.ok(calls.every(({ socket }) => !socket.destroyed))
      for (const { socket } of calls) socket.destroy()
    })
  }
}

t.test('nor while an answer lasts that was passed over at first, for nobody had a better one', async (t) => {
  const { broker, upstream } = await setUp(t)
  await addConfig(broker, { name: 'other', models: ['model-a'] })
  const key = await addKey(broker)
  let calls = 0
  upstream.answer((request, response) => {
    calls += 1
    const isFirst = calls === 1
    request.resume().on('end', () => {
      if (isFirst) response.writeHead(503, { 'content-type': 'text/event-stream' }).write('data: {}\n\n')
      else response.destroy()
    })
  })
  const before = memoryAfterCollecting()
  const call = openCall(broker.origin, key, [json, `Content-Length: ${named.length}`], named)
  await waitUntil(() => /503 .*data: \{\}/s.test(call.answer))
  t.equal(calls, 2)
  const isGone = () => memoryAfterCollecting() - before < (BODY_MIB / 2) * MIB
  await waitUntil(isGone).catch(() => {})
  t.ok(isGone())
  call.socket.destroy()
})

t.test('all keys together hold a quarter of the memory', async (t) => {
  const { broker, upstream, v1, key } = await setUp(t)
  upstream.answer((_, response) => response.end('{}'))
  const fitting = Math.floor(memoryLimit() / 4 / (20 * MIB))
  const headers = KINDS[0]?.[1] ?? []
  const calls: OpenCall[] = []
  for (let left = fitting + 5; left > 0; left -= 3) {
    const each = await addKey(broker)
    for (let i = 0; i < Math.min(3, left); i += 1) calls.push(openCall(broker.origin, each, headers))
  }
  const refused = () => calls.filter(({ answer }) => answer !== '')
  await waitUntil(() => refused().length === 5)
  for (const { answer } of refused()) t.match(answer, /^HTTP\/1\.1 503 .*retry-after: \d.*overloaded/is)
  await stillWorks(t, v1, key)
  for (const { socket } of calls) socket.destroy()
})

t.test('what was refused counts for nothing, and what is over is given back once', (t) => {
  const held = new HeldBodies(100, 60)
  const [first, second, other] = [new Hold(held, 'a'), new Hold(held, 'a'), new Hold(held, 'b')]
  first.add(40)
  t.throws(() => second.add(21), { code: 'rate_limit_exceeded' })
  second.add(20)
  other.add(40)
  t.throws(() => other.add(1), { code: 'overloaded' })
  t.equal(held.bytes, 100)
  second.release()
  second.release()
  second.add(50)
  t.equal(held.bytes, 80, 'nothing is held for a call that is over')
  first.release()
  other.release()
  t.equal(held.bytes, 0)
  t.end()
})
