import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { promisify } from 'node:util'
import OpenAI, { toFile } from 'openai'
import t, { type Test } from 'tap'
import { freePort } from '../support/free-port.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, type Setup, setUp } from './fixtures/upstream.ts'

const MIB = 1024 * 1024
const CLIENTS = 20
const FORM = 'multipart/form-data; boundary=x'

interface Upload {
  readonly url: string
  readonly key: string
  readonly type: string
  readonly bytes: number
}

/** Each gives the statuses of so many uploads, 'lost' for an answer that did not arrive. */
const CLIENTS_BY_NAME: Record<string, (upload: Upload) => Promise<unknown[]>> = {
  fetch: ({ url, key, type, bytes }) =>
    times(async () => {
      const headers = { authorization: `Bearer ${key}`, 'content-type': type }
      const response = await fetch(url, { method: 'POST', headers, body: Buffer.alloc(bytes, ' ') })
      await response.text()
      return response.status
    }),
  "Python's http.client": async ({ url, key, type, bytes }) => {
    const { stdout } = await promisify(execFile)('python3', ['-c', PYTHON, url, key, type, String(bytes)])
    return JSON.parse(stdout)
  },
}

const PYTHON = `
import http.client, json, sys, urllib.parse
url, key, kind, size = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
seen = []
for _ in range(${CLIENTS}):
    try:
        client = http.client.HTTPConnection(url.netloc)
        client.request('POST', url.path, b' ' * size, {'Authorization': 'Bearer ' + key, 'Content-Type': kind})
        answer = client.getresponse()
        answer.read()
        seen.append(answer.status)
    except Exception as error:
        seen.append(repr(error))
print(json.dumps(seen))
`

function times(once: () => Promise<unknown>): Promise<unknown[]> {
  return Promise.all(
    Array.from({ length: CLIENTS }, () => once().catch((error) => String(error.cause ?? error))),
  )
}

async function everyClientReads(t: Test, status: number, upload: Upload, later = status): Promise<void> {
  for (const [name, send] of Object.entries(CLIENTS_BY_NAME)) {
    const read = await send(upload)
    const told = `${status} ${upload.type} ${upload.bytes / 1000} kB: ${name}`
    t.same(
      read.map((one) => one === status || one === later),
      Array(CLIENTS).fill(true),
      `${told}: ${read}`,
    )
  }
}

t.test('our own errors arrive at clients that are still sending', async (t) => {
  const { broker, v1, key, upstream } = await setUp(t)
  const limited = await addKey(broker, { requests_per_minute: 1 })
  await ask(`${v1}/models`, { key: limited })
  const nobody = await freePort()
  const dead = await addConfig(broker, { name: 'dead', base_url: `http://127.0.0.1:${nobody}/v1` })
  const deadKey = await addKey(broker, { model_config_ids: [dead] })
  const url = `${v1}/files`
  const before = upstream.calls.length
  await everyClientReads(t, 401, { url, key: 'wrong', type: FORM, bytes: 300_000 })
  await everyClientReads(t, 401, { url, key: 'wrong', type: 'application/json', bytes: 5_000_000 })
  await everyClientReads(t, 429, { url, key: limited, type: FORM, bytes: 3_000_000 })
  await everyClientReads(t, 404, { url: `${broker.origin}/nowhere`, key, type: FORM, bytes: 3_000_000 })
  await everyClientReads(t, 400, { url: `${v1}/a//b`, key, type: FORM, bytes: 3_000_000 })
  await everyClientReads(t, 502, { url, key: deadKey, type: FORM, bytes: 3_000_000 })
  t.equal(upstream.calls.length, before)
})

t.test('so do those of the management side', async (t) => {
  const { broker } = await setUp(t)
  const url = `${broker.origin}/api/keys`
  const type = 'application/json'
  // After ten wrong tokens the address is limited, which is told during the upload, too.
  await everyClientReads(t, 401, { url, key: 'wrong', type, bytes: 3_000_000 }, 429)
  await everyClientReads(t, 413, { url, key: broker.adminToken, type, bytes: 3_000_000 })
  await everyClientReads(t, 415, { url, key: broker.adminToken, type: FORM, bytes: 3_000_000 })
})

t.test('and what is too large is told to whoever sends it', async (t) => {
  const { broker, configId, v1, key } = await setUp(t)
  const call = { url: `${v1}/embeddings`, key, type: 'application/json', bytes: 20 * MIB + 1 }
  for (let round = 0; round < 3; round += 1) {
    const headers = { authorization: `Bearer ${key}`, 'content-type': call.type, 'content-encoding': 'gzip' }
    const response = await fetch(call.url, { method: 'POST', headers, body: Buffer.alloc(call.bytes) })
    t.equal(response.status, 413)
    t.match(await response.text(), /request_too_large/)
  }
  const second = await addConfig(broker, { name: 'second', models: ['model-b'] })
  const ofTwo = await addKey(broker, { model_config_ids: [configId, second] })
  const head = `POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${ofTwo}\r\n`
  const kind = `Content-Type: application/json\r\nContent-Length: ${call.bytes}\r\n\r\n`
  const text = await sendSlowly(broker.origin, head + kind, Buffer.alloc(call.bytes, ' '))
  t.match(text, /^HTTP\/1\.1 413 .*request_too_large/s)
})

t.test("upstream's early answer arrives, whether it goes on reading or not", async (t) => {
  const setup = await setUp(t)
  for (const status of [401, 413, 200]) {
    await withEarlyUpstream(t, setup, status, async (key) => {
      await everyClientReads(t, status, { url: `${setup.v1}/files`, key, type: FORM, bytes: 3_000_000 })
    })
  }
})

t.test('the openai client reads them all', async (t) => {
  const setup = await setUp(t)
  const uploadWith = async (apiKey: string) => {
    const client = new OpenAI({ apiKey, baseURL: setup.v1, maxRetries: 0 })
    const file = await toFile(Buffer.alloc(300_000, 'x'), 'a.jsonl')
    return times(async () => {
      const failure = await client.files.create({ file, purpose: 'batch' }).catch((error) => error)
      return failure.status
    })
  }
  t.same(await uploadWith('wrong'), Array(CLIENTS).fill(401))
  await withEarlyUpstream(t, setup, 413, async (key) => {
    t.same(await uploadWith(key), Array(CLIENTS).fill(413))
  })
})

/** A model endpoint that answers each head at once and reads no further. */
async function withEarlyUpstream(
  t: Test,
  { broker }: Setup,
  status: number,
  body: (key: string) => Promise<void>,
): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.pause()
      const head = `HTTP/1.1 ${status} Early\r\ncontent-type: application/json\r\nconnection: close\r\n`
      socket.write(`${head}content-length: 2\r\n\r\n{}`)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = address && typeof address === 'object' ? address.port : 0
  const name = `early-${status}-${port}`
  const id = await addConfig(broker, { name, base_url: `http://127.0.0.1:${port}/v1` })
  await body(await addKey(broker, { model_config_ids: [id] }))
}

t.test('an old client, or one that wants the connection closed, reads its error as well', async (t) => {
  const { broker } = await setUp(t)
  const body = Buffer.alloc(3 * MIB, ' ')
  for (const [version, more] of [
    ['1.0', ''],
    ['1.1', 'Connection: close\r\n'],
    ['1.1', ''],
  ]) {
    const head = `POST /v1/files HTTP/${version}\r\nHost: a\r\n${more}Content-Type: ${FORM}\r\n`
    const text = await sendSlowly(broker.origin, `${head}Content-Length: ${body.length}\r\n\r\n`, body)
    t.match(text, /^HTTP\/1\.1 401 .*invalid_api_key/s, `HTTP/${version} ${more}`)
  }
})

t.test('a list that needs no body does not wait for its end', async (t) => {
  const { broker, configId } = await setUp(t)
  const second = await addConfig(broker, { name: 'second', models: ['model-b'] })
  const key = await addKey(broker, { model_config_ids: [configId, second] })
  const body = Buffer.alloc(3 * MIB, ' ')
  const head = `GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nContent-Type: ${FORM}\r\n`
  const text = await sendSlowly(broker.origin, `${head}Content-Length: ${body.length}\r\n\r\n`, body)
  t.match(text, /^HTTP\/1\.1 200 .*model-b/s)
})

/** Sends all of a body, then reads what came back: as clients do that know no early answers. */
async function sendSlowly(origin: string, head: string, body: Buffer): Promise<string> {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.pause()
  socket.write(head)
  for (let at = 0; at < body.length; at += 256 * 1024) {
    if (!socket.write(body.subarray(at, at + 256 * 1024))) await once(socket, 'drain')
  }
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  socket.resume()
  await once(socket, 'end')
  socket.destroy()
  return text
}

t.test('what is dropped has an end, and brings no other call across', async (t) => {
  const { broker, upstream, key } = await setUp(t)
  const { port } = new URL(broker.origin)
  const socket = connect({ host: '127.0.0.1', port: Number(port), allowHalfOpen: true })
  let sent = 0
  let isClosed = false
  const closed = new Promise<void>((resolve) => {
    socket.on('error', () => {}).on('close', resolve)
  }).then(() => {
    isClosed = true
  })
  socket.resume()
  const next = Buffer.from(`GET /v1/smuggled HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\n\r\n`)
  socket.write('POST /v1/files HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n')
  await once(socket, 'data')
  socket.write('0123456789')
  const chunk = Buffer.concat(Array(1_000).fill(next))
  while (!isClosed && sent < 100 * MIB) {
    sent += chunk.length
    if (!socket.write(chunk))
      await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed])
  }
  await closed
  t.ok(sent > 60 * MIB && sent < 80 * MIB, `closed after ${Math.round(sent / MIB)} MiB`)
  t.equal(upstream.calls.length, 0)
})

t.test(
  'a client that asks first is answered without having sent; one that may send is told so once',
  async (t) => {
    const { broker, upstream, key } = await setUp(t)
    upstream.answer(async (request, response) => {
      let bytes = 0
      for await (const piece of request) bytes += piece.length
      response.end(`got ${bytes}`)
    })
    const admin = broker.adminToken
    const asks: [path: string, key: string, type: string, expected: RegExp][] = [
      ['/v1/files', 'wrong', FORM, /^HTTP\/1\.1 401 /],
      ['/v1/embeddings', 'wrong', 'application/json', /^HTTP\/1\.1 401 /],
      ['/api/keys', 'wrong', 'application/json', /^HTTP\/1\.1 401 /],
      ['/nowhere', key, FORM, /^HTTP\/1\.1 404 /],
      ['/v1/files', key, 'text/plain', /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 .*got 5$/s],
      ['/v1/files', key, 'application/json', /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 .*got 5$/s],
      ['/api/keys', admin, 'application/json', /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 422 /],
    ]
    for (const [path, bearer, type, expected] of asks) {
      const socket = connect(Number(new URL(broker.origin).port), '127.0.0.1')
      let text = ''
      socket.setEncoding('latin1').on('data', (chunk) => {
        text += chunk
      })
      const head = `POST ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${bearer}\r\nContent-Type: ${type}\r\n`
      socket.write(`${head}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n`)
      await waitUntil(() => text.includes('\r\n\r\n'))
      if (text.startsWith('HTTP/1.1 100')) {
        socket.write('12345')
        await waitUntil(() => /\r\n\r\n.*\r\n\r\n./s.test(text))
      }
      t.match(text, expected, `${path} ${type}`)
      socket.destroy()
    }
  },
)
