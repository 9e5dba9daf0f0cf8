/** Heads and bodies that do not come, and those that only come slowly. All at once, because each takes its 30 s. */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { json, readAll, setUp } from '../gateway/fixtures/upstream.ts'
import { waitUntil } from '../support/wait-until.ts'

/** Longer than what is waited for, on a machine that has other things to do. */
const WITHIN_MS = 90_000
const KIB = 1024

interface Talk {
  /** What came back so far. */
  answer: string
  isClosed: boolean
  send(bytes: string | Buffer): boolean
}

function talk(origin: string): Talk {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(origin).port), allowHalfOpen: true })
  const seen: Talk = {
    answer: '',
    isClosed: false,
    send: (bytes) => !socket.destroyed && socket.write(bytes),
  }
  socket.setEncoding('latin1').on('error', () => {})
  socket.on('data', (text) => {
    seen.answer += text
  })
  socket.on('end', () => {
    seen.isClosed = true
    socket.end()
  })
  socket.on('close', () => {
    seen.isClosed = true
  })
  return seen
}

async function drip(to: Talk, piece: string | Buffer, everyMs: number): Promise<void> {
  while (!to.isClosed) {
    to.send(piece)
    await sleep(everyMs)
  }
}

t.test('what does not come within 30 s', { timeout: 150_000 }, async (t) => {
  const { broker, key, upstream } = await setUp(t)
  let uploadsLost = 0
  upstream.answer(async (request, response) => {
    try {
      await readAll(request)
      json(response, { ok: true })
    } catch {
      uploadsLost += 1
    }
  })
  const begin = (path: string, bearer: string, type: string, length: string) =>
    `POST ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${bearer}\r\nContent-Type: ${type}\r\n${length}\r\n\r\n`
  const admin = broker.adminToken
  const [application, audio] = ['application/json', 'audio/wav']
  const [length, chunked] = ['Content-Length: 100000', 'Transfer-Encoding: chunked']
  const v1 = /^HTTP\/1\.1 408 .*connection: close.*"error":\{"message":".*"code":"request_timeout"/is
  const api = /^HTTP\/1\.1 408 .*connection: close.*"code":"request_timeout"/is
  const rows: [name: string, first: string, dripped: string, answer: RegExp][] = [
    ['nothing at all', '', '', v1],
    ['half a head', 'GET /v1/models HTTP/1.1\r\nHost: a\r\nX-A: ', '', v1],
    ['a head byte by byte', 'GET /v1/models HTTP/1.1\r\nHost: a\r\nX-A: ', 'a', v1],
    ['JSON, announced', begin('/v1/embeddings', key, application, length), '', v1],
    ['JSON, some bytes a second', begin('/v1/embeddings', key, application, length), ' ', v1],
    ['JSON in chunks', begin('/v1/embeddings', key, application, chunked), '1\r\n \r\n', v1],
    ['a form', begin('/v1/files', key, 'multipart/form-data; boundary=x', length), 'x', v1],
    ['an upload', begin('/v1/audio/transcriptions', key, audio, length), 'x', v1],
    ['an upload in chunks', begin('/v1/audio/transcriptions', key, audio, chunked), '1\r\nx\r\n', v1],
    ['a management call', begin('/api/keys', admin, application, length), ' ', api],
  ]
  await Promise.all(
    rows.map(async ([name, first, dripped, answer]) => {
      const client = talk(broker.origin)
      client.send(first)
      if (dripped) void drip(client, dripped, 500)
      await waitUntil(() => client.isClosed, WITHIN_MS)
      t.match(client.answer, answer, name)
    }),
  )
  t.equal(uploadsLost, 3, 'upstream is not kept waiting either')
  t.match(broker.log.join(''), /"status":408,"code":"request_timeout"/)
})

t.test('what is slow, but comes, and what we hold up ourselves', { timeout: 150_000 }, async (t) => {
  const { broker, key, upstream } = await setUp(t)
  upstream.answer(async (request, response) => {
    if (request.url?.endsWith('/held-up')) await sleep(45_000) // reads nothing
    json(response, { bytes: (await readAll(request)).length })
  })
  const begin = (path: string, bytes: number) =>
    `POST ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nContent-Type: audio/wav\r\nContent-Length: ${bytes}\r\n\r\n`
  const slow = talk(broker.origin)
  slow.send(begin('/v1/slow', 88 * KIB))
  const heldUp = talk(broker.origin)
  heldUp.send(begin('/v1/held-up', 32 * KIB * KIB))
  heldUp.send(Buffer.alloc(32 * KIB * KIB, 'x'))
  for (let sent = 0; sent < 22; sent += 1) {
    await sleep(2_000)
    slow.send(Buffer.alloc(4 * KIB, 'x'))
  }
  await waitUntil(() => slow.answer !== '' && heldUp.answer !== '', WITHIN_MS)
  t.match(slow.answer, /^HTTP\/1\.1 200 .*"bytes":90112/s)
  t.match(heldUp.answer, /^HTTP\/1\.1 200 .*"bytes":33554432/s)
})
