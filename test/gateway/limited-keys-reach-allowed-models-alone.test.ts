/** Ways to name a model, from a seed: whatever a limited key writes, upstream hears of its models alone. */
import { once } from 'node:events'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import t from 'tap'
import { Dice } from '../support/dice.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ask, rawExchange } from './fixtures/client.ts'
import { answerTo, closing, connect, setUpRealtime } from './fixtures/realtime.ts'
import { addConfig, addKey, json, readAll, type Setup, setUp } from './fixtures/upstream.ts'

const ALLOWED = 'cheap/one'
const FORBIDDEN = 'dear-model'
const SEED = Number(process.env['MODELS_SEED'] ?? 20261127)
const COUNT = 600

interface Call {
  readonly way: string
  readonly method: string
  readonly path: string
  readonly body?: Buffer
  readonly headers: Record<string, string>
}

/** A way to name models: `first` where one is named, `second` beside it. */
type Way = (first: string, second: string, dice: Dice) => Omit<Call, 'way'>

const JSON_TYPE = { 'content-type': 'application/json' }

function posted(
  body: string | Buffer,
  headers: Record<string, string> = JSON_TYPE,
  path = '/chat/completions',
) {
  return { method: 'POST', path, body: Buffer.from(body), headers }
}

function form(fields: [name: string, value: string, more?: string][], end = '--x--\r\n') {
  const part = ([name, value, more = '']: (typeof fields)[number]) =>
    `--x\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`
  const headers = { 'content-type': 'multipart/form-data; boundary=x' }
  return posted(fields.map(part).join('') + end, headers, '/audio/transcriptions')
}

function urlencoded(text: string) {
  return posted(text, { 'content-type': 'application/x-www-form-urlencoded' }, '/images/edits')
}

const CODINGS = {
  gzip: gzipSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
  deflate: (bytes: Buffer) => deflateRawSync(bytes),
  'deflate, gzip': (bytes: Buffer) => gzipSync(deflateSync(bytes)),
  identity: (bytes: Buffer) => bytes,
}

/** With the two the same and allowed, each is a call that a limited key may make. */
const READABLE: Record<string, Way> = {
  member: (a) => posted(JSON.stringify({ messages: [], model: a })),
  'member behind a byte order mark': (a) => posted(`\ufeff{"model":${JSON.stringify(a)}}`),
  'escaped name': (a) => posted(`{"mod\\u0065l":${JSON.stringify(a)}}`),
  'escaped value': (a) =>
    posted(`{"model":"${[...a].map((c) => `\\u00${c.charCodeAt(0).toString(16)}`).join('')}"}`),
  'a fallback list': (a, b) => posted(JSON.stringify({ model: a, models: [a, b] })),
  'a fallback list alone': (a, b) => posted(JSON.stringify({ models: [a, b], messages: [] })),
  'a list of objects': (a, b) => posted(JSON.stringify({ model: a, fallbacks: [{ model: b, x: 1 }] })),
  'a fallback for long prompts': (a, b) =>
    posted(JSON.stringify({ model: a, context_window_fallbacks: [{ x: [a, b] }] })),
  'a fallback for refusals': (a, b) =>
    posted(JSON.stringify({ model: a, content_policy_fallbacks: [{ x: [b] }] })),
  'a fallback by name': (a, b) =>
    posted(JSON.stringify({ model: a, context_window_fallback_dict: { x: b } })),
  'a deployment in the body': (a, b) => posted(JSON.stringify({ model: a, deployment_id: b })),
  'an engine in the body': (a, b) => posted(JSON.stringify({ engine: b, model: a })),
  'a list beside speech': (a, b) =>
    posted(JSON.stringify({ messages: [{ role: 'user', content: [{ model: 1 }] }], model: a, models: [b] })),
  'a tool of its own': (a, b) =>
    posted(JSON.stringify({ model: a, tools: [{ type: 'image_generation', model: b }] })),
  'a session': (a) =>
    posted(
      JSON.stringify({ session: { type: 'realtime', model: a } }),
      JSON_TYPE,
      '/realtime/client_secrets',
    ),
  'a batch of calls': (a, b) =>
    posted(
      JSON.stringify({ requests: [a, b].map((model) => ({ params: { model, messages: [] } })) }),
      JSON_TYPE,
      '/messages/batches',
    ),
  'another model id': (a, b) => posted(JSON.stringify({ model: a, model_id: b })),
  'a coded body': (a, _, dice) => {
    const coding = dice.one(Object.keys(CODINGS)) as keyof typeof CODINGS
    const bytes = CODINGS[coding](Buffer.from(JSON.stringify({ model: a, messages: [] })))
    return posted(bytes, { ...JSON_TYPE, 'content-encoding': coding })
  },
  'a charset that is ours': (a, _, dice) =>
    posted(JSON.stringify({ model: a }), {
      'content-type': `application/${dice.one(['json', 'JSON', 'vnd.api+json'])}; charset=${dice.one(['utf-8', 'UTF-8', '"utf-8"'])}`,
    }),
  query: (a) => ({ method: 'GET', path: `/listen?model=${encodeURIComponent(a)}`, headers: {} }),
  'a query beside a body': (a, b) =>
    posted(JSON.stringify({ model: a }), JSON_TYPE, `/x?models=${encodeURIComponent(b)}`),
  'a query in disguise': (a, b, dice) => {
    const name = dice.one(['mod%65l', 'MODEL', 'model%5B%5D', 'x=1;model', 'model[0]', '+model', 'model_id'])
    return posted(JSON.stringify({ model: a }), JSON_TYPE, `/x?${name}=${encodeURIComponent(b)}`)
  },
  'a model of the list': (a) => ({ method: 'HEAD', path: `/models/${encodeURIComponent(a)}`, headers: {} }),
  'a model with slashes': (a) => ({ method: 'HEAD', path: `/models/${a}`, headers: {} }),
  'an engine': (a) => posted('{"prompt":"x"}', JSON_TYPE, `/engines/${encodeURIComponent(a)}/completions`),
  'a deployment': (a, b) =>
    posted(
      JSON.stringify({ model: b }),
      JSON_TYPE,
      `/openai/deployments/${encodeURIComponent(a)}/chat/completions?api-version=1`,
    ),
  'a model and a verb': (a) => posted('{"contents":[]}', JSON_TYPE, `/models/${a}:generateContent`),
  'a folder in disguise': (a, b, dice) =>
    posted(
      JSON.stringify({ model: a }),
      JSON_TYPE,
      `/${dice.one(['%6dodels', 'Models', 'models;v=1', 'ENGINES'])}/${b}`,
    ),
  'a form': (a, b) =>
    form([
      ['model', a],
      ['file', 'RIFF', '; filename="a.wav"'],
      ['models[]', b],
    ]),
  'a form field as a file': (a, b) =>
    form([
      ['model', a],
      ['models', b, '; filename="m"'],
    ]),
  'an urlencoded form': (a, b) =>
    urlencoded(`prompt=x&model=${encodeURIComponent(a)}&models=${encodeURIComponent(b)}`),
}

/** Calls that no limited key may make, whatever they name. */
const UNREADABLE: Record<string, Way> = {
  'no model': () => posted('{"messages":[]}'),
  'no body': () => ({ method: 'POST', path: '/chat/completions', headers: {} }),
  'a file': () => ({ method: 'GET', path: '/files/file-1/content', headers: {} }),
  'the head of a file': () => ({ method: 'HEAD', path: '/files/file-1', headers: {} }),
  'deleting a model': (a) => ({ method: 'DELETE', path: `/models/${a}`, headers: {} }),
  'deleting a file': () => ({ method: 'DELETE', path: '/files/file-1', headers: {} }),
  'a batch from a file': (a) =>
    posted(JSON.stringify({ model: a, input_file_id: 'file-1' }), JSON_TYPE, '/batches'),
  'another charset': (a, _, dice) => {
    const charset = dice.one(['utf-7', 'utf-16', 'utf-16le', 'ibm037', 'iso-8859-1', 'utf-8; charset=utf-7'])
    return posted(JSON.stringify({ model: a }), { 'content-type': `application/json; charset=${charset}` })
  },
  'UTF-16': (a) => posted(Buffer.from(JSON.stringify({ model: a }), 'utf16le')),
  'a sequence': (a, _, dice) =>
    posted(`${dice.one(['\u001e', ''])}{"model":"${a}"}\n`, { 'content-type': 'application/json-seq' }),
  lines: (a, b) => posted(`{"model":"${a}"}\n{"model":"${b}"}\n`, { 'content-type': dicey(a) }),
  'JSON for the lenient': (a, b, dice) =>
    posted(
      dice.one([
        `{"model":"${a}",model:"${b}"}`,
        `{'model':'${b}',"model":"${a}"}`,
        `{"model":"${a}",/*"*/"model":"${b}"/*"*/}`,
        `{"model":"${a}"} x`,
      ]),
    ),
  'another type': (a, _, dice) =>
    posted(JSON.stringify({ model: a }), {
      'content-type': dice.one(['text/plain', 'application/jsonp', 'application/octet-stream', 'text/json']),
    }),
  'no type': (a) => posted(JSON.stringify({ model: a }), {}),
  'an unknown coding': (a, _, dice) =>
    posted(JSON.stringify({ model: a }), {
      ...JSON_TYPE,
      'content-encoding': dice.one(['compress', 'x', 'gzip', 'aes128gcm', 'gzip, x']),
    }),
  'not UTF-8': (a) =>
    posted(
      Buffer.concat([Buffer.from(`{"model":"${a}","x":"`), Buffer.from([0xff, 0xc0]), Buffer.from('"}')]),
    ),
  'a form with two boundaries': (a, b) => ({
    ...form(
      [['model', a]],
      `--x--\r\n--y\r\nContent-Disposition: form-data; name="model"\r\n\r\n${b}\r\n--y--\r\n`,
    ),
    headers: { 'content-type': 'multipart/form-data; boundary=x; boundary=y' },
  }),
  'a form with bare line ends': (a, b) =>
    form([
      ['model', a],
      ['x', `y\n--x\nContent-Disposition: form-data; name="model"\n\n${b}`],
    ]),
  'a form with more behind it': (a, b) =>
    form(
      [['model', a]],
      `--x--\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n${b}\r\n--x--\r\n`,
    ),
  'a form with a coded part': (a, b) =>
    form([
      ['model', a],
      ['m', Buffer.from(b).toString('base64'), '\r\nContent-Transfer-Encoding: base64'],
    ]),
  'a form with two names': (a, b) =>
    form([
      ['model', a],
      ['x"; name="model', b],
    ]),
  'a form with an encoded name': (a, b) =>
    form([
      ['model', a],
      ['=?utf-8?q?model?=', b],
    ]),
  'JSON in a form': (a, b) => urlencoded(`{"model":"${b}","x":"&model=${a}&"}`),
  'a form with semicolons': (a, b) => urlencoded(`model=${a};model=${b}`),
}

function dicey(text: string): string {
  return text.length % 2 === 0 ? 'application/x-ndjson' : 'application/json'
}

async function scene(t: Parameters<typeof setUp>[0]): Promise<Setup & { arrived: string[] }> {
  const setup = await setUp(t)
  const arrived: string[] = []
  setup.upstream.answer(async (request, response) => {
    const body = await readAll(request)
    arrived.push(
      `${request.method} ${request.url} ${request.headers['content-encoding'] ?? ''} ${body.toString('latin1')}`,
    )
    json(response, { ok: true })
  })
  const key = await addKey(setup.broker, { model_config_ids: [setup.configId], models: [ALLOWED] })
  return { ...setup, key, arrived }
}

async function send({ v1, key }: Setup, { method, path, body, headers }: Omit<Call, 'way'>): Promise<number> {
  return (await ask(v1 + path, { method, key, headers, ...(body && { body }) })).status
}

t.test('each readable way is open to allowed models', async (t) => {
  const setup = await scene(t)
  const dice = new Dice(SEED)
  for (const [way, write] of Object.entries(READABLE)) {
    for (let round = 0; round < 4; round += 1) {
      const before = setup.arrived.length
      t.equal(await send(setup, write(ALLOWED, ALLOWED, dice)), 200, way)
      t.equal(setup.arrived.length, before + 1, way)
    }
  }
})

t.test(`${COUNT} calls of seed ${SEED} that name another model, or none that can be read`, async (t) => {
  const setup = await scene(t)
  const dice = new Dice(SEED)
  const readable = Object.entries(READABLE)
  const ways = [...readable, ...readable, ...Object.entries(UNREADABLE)]
  const needsBoth = (write: Way) => write.length > 1 && /\bb\b/.test(write.toString())
  for (let call = 0; call < COUNT; call += 1) {
    const [way, write] = dice.one(ways)
    const pairs = [
      [FORBIDDEN, ALLOWED],
      [FORBIDDEN, FORBIDDEN],
      ...(needsBoth(write) ? [[ALLOWED, FORBIDDEN]] : []),
    ]
    const [first = '', second = ''] =
      way in UNREADABLE ? dice.one([...pairs, [ALLOWED, ALLOWED]]) : dice.one(pairs)
    const status = await send(setup, write(first, second, dice))
    if (status !== 404) t.fail(`${status}: ${way} (${first}, ${second})`)
  }
  t.same(setup.arrived, [], 'nothing reached upstream')
})

t.test('what goes up under another name is judged as it goes up', async (t) => {
  const setup = await scene(t)
  const { broker, v1, upstream } = setup
  const id = await addConfig(broker, {
    name: 'cheap',
    models: ['dear'],
    aliases: { nick: 'dear', near: 'good' },
  })
  const models = ['good', 'nick']
  const key = await addKey(broker, { model_config_ids: [id], models })
  const status = async (body: object) => (await ask(`${v1}/chat/completions`, { key, body })).status
  t.equal(await status({ model: 'nick' }), 200, 'an alias that is allowed')
  t.match(setup.arrived.at(-1), '"model":"dear"')
  t.equal(await status({ model: 'near' }), 200, 'an alias of what is allowed')
  t.equal(await status({ model: 'cheap/good' }), 200)
  t.equal(await status({ model: 'cheap/dear' }), 404)
  t.equal(await status({ model: 'cheap/good', models: ['good', 'good'] }), 200)
  t.equal(
    await status({ model: 'cheap/good', models: ['cheap/good'] }),
    404,
    'in a list names go up as they are',
  )
  t.equal(upstream.calls.length, 4)
})

t.test('two models that both are allowed are two models still', async (t) => {
  const setup = await scene(t)
  for (const text of [
    `{"model":"${ALLOWED}","model":"${ALLOWED}"}`,
    `{"model":"${ALLOWED}","MODEL":"${ALLOWED}"}`,
  ])
    t.equal(await send(setup, posted(text)), 400)
  t.same(setup.arrived, [])
})

t.test('targets that no client library writes', async (t) => {
  const setup = await scene(t)
  const targets = [
    `/v1/models/${FORBIDDEN}`,
    `/v1/models/${ALLOWED}/../${FORBIDDEN}`,
    `/v1/models/${ALLOWED}%2f..%2f${FORBIDDEN}`,
    `/v1/models/${ALLOWED}/${FORBIDDEN}`,
    `/v1/models/cheap%252fone`,
    `/v1/models/${ALLOWED}?model=${FORBIDDEN}`,
    `/v1/models?model=${FORBIDDEN}&x`.replace('models?', 'embeddings?'),
  ]
  for (const target of targets) {
    const head = `HEAD ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${setup.key}\r\nConnection: close\r\n\r\n`
    t.match(await rawExchange(setup.broker.origin, head), /^HTTP\/1\.1 40[04] /, target)
  }
  t.same(setup.arrived, [])
})

/** So that reading one body takes nobody else's time: what has more parts than calls have is not read. */
t.test('a body of more members, texts, objects or lists than anybody asks with cannot be read', async (t) => {
  const setup = await setUp(t)
  const key = await addKey(setup.broker, { models: ['model-a'] })
  const bodyOf = (beginning: string, part: string, count: number, end: string) =>
    `{"model":"model-a","x":${beginning}${part.repeat(count)}${end}}`
  const N = 60_000
  const rows: [what: string, make: (count: number) => string][] = [
    ['lists in lists', (count) => bodyOf('', '[', 2 * count, ']'.repeat(2 * count))],
    ['objects in objects', (count) => bodyOf('', '{"a":', count, `1${'}'.repeat(count)}`)],
    ['members', (count) => bodyOf('{', '"a":1,', 2 * count, '"b":1}')],
    ['texts', (count) => bodyOf('[', '"a",', 2 * count, '1]')],
    ['objects', (count) => bodyOf('[', '{"a":1},', count, '1]')],
  ]
  for (const [what, make] of rows) {
    const call = (count: number) =>
      ask(`${setup.v1}/chat/completions`, {
        key,
        method: 'POST',
        headers: JSON_TYPE,
        body: Buffer.from(make(count)),
      })
    t.equal((await call(N / 2)).status, 200, `half as many ${what}`)
    const refused = await call(N)
    t.match([refused.status, String(refused.body)], [404, /cannot be read/], what)
  }
  t.equal(setup.upstream.calls.length, rows.length)
  const others = [
    '{"model":"model-a","x":"abc',
    '{"model":"model-a","x":"abc\\\\"',
    '{"model":"model-a","\\u12":1}',
    '"',
    '{"',
  ]
  for (const text of others)
    t.equal(
      (
        await ask(`${setup.v1}/chat/completions`, {
          key,
          method: 'POST',
          headers: JSON_TYPE,
          body: Buffer.from(text),
        })
      ).status,
      404,
      text,
    )
})

t.test('the list of models is the key’s own', async (t) => {
  const { v1, key, arrived, broker, configId } = await scene(t)
  const ids = async (key: string) => {
    const { body } = await ask(`${v1}/models`, { key })
    return JSON.parse(body.toString()).data.map(({ id }: { id: string }) => id)
  }
  t.same(await ids(key), [ALLOWED])
  const two = await addKey(broker, { model_config_ids: [configId], models: ['model-a', 'main/x'] })
  t.same(await ids(two), ['model-a', 'main/x'])
  t.same(arrived, [])
})

t.test('realtime: a handshake must name an allowed model, and no message another', async (t) => {
  const setup = await setUpRealtime(t)
  const key = await addKey(setup.broker, { model_config_ids: [setup.configId], models: ['model-a'] })
  const limited = { v1: setup.v1, key }
  for (const path of [
    '/realtime',
    '/realtime?model=dear',
    '/realtime?model=model-a&models=dear',
    '/realtime?intent=transcription',
    '/deployments/dear/realtime?model=model-a',
  ])
    t.equal((await answerTo(connect(limited, path))).status, 404, path)
  t.equal(setup.asked.length, 0)

  const messages = [
    '{"type":"session.update","session":{"model":"dear"}}',
    '{"type":"response.create","response":{"model":"dear"}}',
    '{"type":"session.update","session":{"mod\\u0065l":"dear"}}',
    '{"type":"session.update","session":{"MODEL":"dear"},"session":{}}',
    `{"type":"session.update","x":"${'y'.repeat(200_000)}","session":{"input_audio_transcription":{"model":"dear"}}}`,
    'no JSON: dear',
  ]
  for (const message of messages) {
    const client = connect(limited)
    await once(client, 'open')
    await waitUntil(() => setup.arrived.length > 0)
    const heard = setup.arrived.at(-1)?.heard ?? []
    client.send('{"type":"session.update","session":{"model":"model-a"}}')
    client.send('{"type":"conversation.item.create","item":{"content":[{"model":"said"}]}}')
    await waitUntil(() => heard.length === 2)
    const closed = closing(client)
    client.send(message)
    t.equal((await closed)[0], 1008, message.slice(0, 80))
    t.equal(heard.length, 2)
    setup.arrived.length = 0
  }
})
