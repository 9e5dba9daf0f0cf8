import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { ask, finish } from './fixtures/client.ts'
import { addConfig, addKey, json, readAll, type Setup, setUp } from './fixtures/upstream.ts'

const MIB = 1024 * 1024

interface Seen {
  readonly body: Buffer
  readonly headers: IncomingMessage['headers']
}

interface Stage extends Setup {
  /** What upstream got, in order. */
  readonly seen: Seen[]
}

/** `nick` is an alias of model-a, which the one config of the key has. */
async function stage(t: Test): Promise<Stage> {
  const setup = await setUp(t)
  const seen: Seen[] = []
  setup.upstream.answer(async (call, response) => {
    seen.push({ body: await readAll(call), headers: call.headers })
    json(response, {})
  })
  await setup.broker.admin('PUT', `/api/models/configs/${setup.configId}`, { aliases: { nick: 'model-a' } })
  return { ...setup, seen }
}

type Coder = (bytes: Buffer) => Buffer
const gzip: Coder = (bytes) => gzipSync(bytes)
const br: Coder = (bytes) => brotliCompressSync(bytes)
const CODINGS: [name: string, ...coders: Coder[]][] = [
  ['gzip', gzip],
  ['GZip', gzip],
  ['x-gzip', gzip],
  ['br', br],
  ['zstd', (bytes) => zstdCompressSync(bytes)],
  ['deflate', (bytes) => deflateSync(bytes)],
  ['deflate', (bytes) => deflateRawSync(bytes)],
  ['identity'],
  ['identity, gzip,', gzip],
  ['gzip, br', gzip, br],
  ['br,gzip', br, gzip],
]

t.test('an alias is found below any coding; what names the model itself goes up as it came', async (t) => {
  const { v1, key, seen } = await stage(t)
  const bom = '\ufeff'
  for (const [coding, ...coders] of CODINGS) {
    for (const before of ['', bom, ' \r\n']) {
      const code = (text: string) => coders.reduce<Buffer>((bytes, coder) => coder(bytes), Buffer.from(text))
      const headers = { 'content-type': 'application/json', 'content-encoding': coding }
      const named = code(`${before}{"model":"model-a","n":"é"}`)
      t.equal((await ask(`${v1}/chat/completions`, { key, headers, body: named })).status, 200)
      t.same(seen.at(-1)?.body, named, `${coding}: byte for byte`)
      t.equal(seen.at(-1)?.headers['content-encoding'], coding)

      const nick = code(`${before}{"n":"é","model":"nick"}`)
      t.equal((await ask(`${v1}/chat/completions`, { key, headers, body: nick })).status, 200)
      t.equal(seen.at(-1)?.body.toString(), `${before}{"n":"é","model":"model-a"}`, `${coding}: the alias`)
      t.notOk('content-encoding' in (seen.at(-1)?.headers ?? {}), 'which is not coded any more')
    }
  }
})

t.test('which config answers is decided below the coding, too', async (t) => {
  const { broker, configId, v1, seen } = await stage(t)
  const second = await addConfig(broker, { name: 'second', models: ['model-b'] })
  const key = await addKey(broker, { model_config_ids: [configId, second] })
  const headers = { 'content-type': 'application/json', 'content-encoding': 'br' }
  for (const [model, config, up] of [
    ['model-b', 'second', undefined],
    ['nick', 'main', 'model-a'],
    ['second/nick', 'second', 'nick'],
  ] as const) {
    const body = br(Buffer.from(JSON.stringify({ model })))
    const answer = await ask(`${v1}/chat/completions`, { key, headers, body })
    t.match(answer.headers['x-token-broker-trace'], `config=${config};`)
    t.same(seen.at(-1)?.body, up === undefined ? body : Buffer.from(JSON.stringify({ model: up })), model)
  }
})

t.test('what cannot be read goes up as it is, but not by a key that is limited to models', async (t) => {
  const { broker, configId, v1, key, seen } = await stage(t)
  const limited = await addKey(broker, { model_config_ids: [configId], models: ['model-a'] })
  const text = Buffer.from('{"model":"nick"}')
  const odd: [coding: string, body: Buffer][] = [
    ['compress', text],
    ['aes128gcm', text],
    ['gzip', text],
    ['gzip', gzip(text).subarray(0, 12)],
    ['br, gzip', br(text)],
    ['gzip, gzip, gzip, gzip, gzip', text],
    ['zstd', gzip(text)],
  ]
  for (const [coding, body] of odd) {
    const headers = { 'content-type': 'application/json', 'content-encoding': coding }
    const before = seen.length
    t.equal((await ask(`${v1}/chat/completions`, { key, headers, body })).status, 200, coding)
    t.same(seen.at(-1)?.body, body)
    t.equal(seen.at(-1)?.headers['content-encoding'], coding)
    const refused = await ask(`${v1}/chat/completions`, { key: limited, headers, body })
    t.match(refused.body.toString(), /model_not_found/)
    t.equal(seen.length, before + 1)
  }
  const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  const allowed = gzip(Buffer.from('{"model":"model-a"}'))
  t.equal((await ask(`${v1}/chat/completions`, { key: limited, headers, body: allowed })).status, 200)
  const twice = gzip(Buffer.from('{"model":"model-a","model":"other"}'))
  t.equal((await ask(`${v1}/chat/completions`, { key: limited, headers, body: twice })).status, 404)
})

t.test('what is inside counts against the 20 MiB, and no more of it is unpacked', async (t) => {
  const { v1, key, seen } = await stage(t)
  const fits = Buffer.concat([Buffer.from('{"model":"nick"}'), Buffer.alloc(20 * MIB - 16, ' ')])
  const bomb = Buffer.alloc(60 * MIB)
  const zipped = gzip(bomb)
  const bombs: [coding: string, body: Buffer][] = [
    ['gzip', gzip(Buffer.concat([fits, Buffer.from(' ')]))],
    ['gzip', zipped],
    ['br', br(bomb)],
    ['zstd', zstdCompressSync(bomb)],
    ['deflate', deflateSync(bomb)],
    ['gzip, gzip', gzip(zipped)],
    ['gzip, br', br(zipped)],
  ]
  for (const [coding, body] of bombs) {
    const headers = { 'content-type': 'application/json', 'content-encoding': coding }
    const answer = await ask(`${v1}/chat/completions`, { key, headers, body })
    t.equal(answer.status, 413, `${coding} of ${body.length}`)
    t.match(answer.body.toString(), /request_too_large/)
  }
  t.equal(seen.length, 0)
  const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  t.equal((await ask(`${v1}/chat/completions`, { key, headers, body: gzip(fits) })).status, 200)
  t.equal(seen.at(-1)?.body.length, 20 * MIB + 3, 'with the longer name')
})

const form = (fields: [name: string, value: string | Blob][]) => {
  const data = new FormData()
  for (const [name, value] of fields) {
    if (typeof value === 'string') data.append(name, value)
    else data.append(name, value, 'a.mp3')
  }
  return new Response(data)
}

t.test(
  'an alias is applied in a form, wherever its field stands; a long file passes as it arrives',
  async (t) => {
    const { v1, key, seen } = await stage(t)
    const small = new Blob(['x'.repeat(1_000)])
    const large = new Blob(['y'.repeat(3 * MIB)])
    const send = async (body: Response, chunked = false) => {
      const bytes = Buffer.from(await body.arrayBuffer())
      const answer = await fetch(`${v1}/audio/transcriptions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': body.headers.get('content-type') ?? '' },
        ...(chunked ? { body: new Blob([bytes]).stream(), duplex: 'half' } : { body: bytes }),
      } as RequestInit)
      t.equal(answer.status, 200)
      const { body: got = Buffer.alloc(0), headers = {} } = seen.at(-1) ?? {}
      return { sent: bytes.toString('latin1'), got: got.toString('latin1'), headers }
    }
    const orders: [name: string, value: string | Blob][][] = [
      [
        ['model', 'nick'],
        ['file', small],
      ],
      [
        ['file', small],
        ['model', 'nick'],
      ],
      [
        ['prompt', 'model=nick'],
        ['model', 'nick'],
        ['file', large],
      ],
    ]
    for (const fields of orders) {
      for (const chunked of [false, true]) {
        const { sent, got, headers } = await send(form(fields), chunked)
        const expected = sent.replace('\r\n\r\nnick\r\n', '\r\n\r\nmodel-a\r\n')
        t.ok(got === expected, `${fields.map(([name]) => name)} ${chunked ? 'chunked' : 'sized'}`)
        if (!chunked) t.equal(headers['content-length'], String(expected.length))
      }
    }
    const untouched: [name: string, value: string | Blob][][] = [
      [
        ['model', 'model-a'],
        ['file', large],
      ],
      [
        ['file', large],
        ['model', 'model-a'],
      ],
      [
        ['model', small],
        ['file', large],
      ],
      [
        ['models', 'nick'],
        ['Model', 'nick'],
      ],
    ]
    for (const fields of untouched) {
      const { sent, got } = await send(form(fields))
      t.ok(got === sent, `byte for byte: ${fields.map(([name]) => name)}`)
    }
    const urlencoded = (text: string) =>
      new Response(text, { headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' } })
    t.equal(
      (await send(urlencoded('a=b%26model=x&model=nick&n=%zz'))).got,
      'a=b%26model=x&model=model-a&n=%zz',
    )
    t.equal((await send(urlencoded('mod%65l=ni%63k'))).got, 'mod%65l=model-a')
    t.equal((await send(urlencoded('models=nick&model'))).got, 'models=nick&model')
  },
)

t.test('JSON above 20 MiB is streamed if its model is in front or its config is certain', async (t) => {
  const { broker, configId, v1, key, seen } = await stage(t)
  const second = await addConfig(broker, { name: 'second', models: ['model-b'] })
  const both = await addKey(broker, { model_config_ids: [configId, second] })
  const limited = await addKey(broker, { model_config_ids: [configId], models: ['model-a'] })
  const image = 'A'.repeat(25 * MIB)
  const front = (model: string) => `{"model":"${model}","image":"${image}"}`
  const behind = `{"image":"${image}","model":"model-a"}`
  const cases: [key: string, body: string, status: number, up?: string][] = [
    [key, front('model-a'), 200],
    [key, front('nick'), 200, front('model-a')],
    [both, front('model-b'), 200],
    [both, front('second/model-b'), 200, front('model-b')],
    [key, behind, 200],
    [both, behind, 413],
    [both, front('nobody'), 404],
    [limited, front('model-a'), 404],
  ]
  for (const [index, [bearer, body, status, up = body]] of cases.entries()) {
    for (const isChunked of [false, true]) {
      const before = seen.length
      const answer = await sendJson(`${v1}/chat/completions`, bearer, Buffer.from(body), isChunked)
      t.equal(answer.status, status, `case ${index} ${isChunked ? 'chunked' : 'sized'}`)
      t.equal(seen.length, before + (status === 200 ? 1 : 0))
      if (status === 200) t.equal(sha256(seen.at(-1)?.body ?? ''), sha256(up), 'whole')
      seen.length = 0
    }
  }
})

function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function sendJson(url: string, key: string, body: Buffer, isChunked: boolean) {
  const call = request(url, {
    method: 'POST',
    agent: false,
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      ...(isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.length }),
    },
  })
  call.on('error', () => {})
  call.end(body)
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  return finish(response)
}
