/** In a form the model may stand behind the file, as client libraries write it that keep their callers' order. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import OpenAI, { toFile } from 'openai'
import t, { type Test } from 'tap'
import { finish } from './fixtures/client.ts'
import { addConfig, addKey, json, readAll, type Setup, setUp } from './fixtures/upstream.ts'

const MIB = 1024 * 1024
const FORM = 'multipart/form-data; boundary=x'
/** Of 20 MiB each, on a busy machine. */
interface Stage extends Setup {
  /** Of the configs `main` and `second`. */
  readonly both: string
  /** What upstream got, in order. */
  readonly seen: { readonly body: Buffer; readonly headers: IncomingMessage['headers'] }[]
}

/** `main` has model-a and its alias `nick`, `second` has model-b. */
async function stage(t: Test): Promise<Stage> {
  const setup = await setUp(t)
  const { broker, configId, upstream } = setup
  const seen: Stage['seen'] = []
  upstream.answer(async (call, response) => {
    seen.push({ body: await readAll(call), headers: call.headers })
    json(response, {})
  })
  await broker.admin('PUT', `/api/models/configs/${configId}`, { aliases: { nick: 'model-a' } })
  const second = await addConfig(broker, { name: 'second', models: ['model-b'] })
  const both = await addKey(broker, { model_config_ids: [second, configId] })
  return { ...setup, both, seen }
}

t.test('the openai client transcribes by an alias, and edits images', async (t) => {
  const { v1, both: key, seen } = await stage(t)
  const client = new OpenAI({ apiKey: key, baseURL: v1, maxRetries: 0 })
  for (const bytes of [1_000, 3 * MIB, 19 * MIB]) {
    const file = await toFile(Buffer.alloc(bytes, 'x'), 'a.mp3')
    const image = await toFile(Buffer.alloc(bytes, 'x'), 'a.png')
    const calls = {
      'model first': () => client.audio.transcriptions.create({ model: 'nick', file }),
      'file first': () => client.audio.transcriptions.create({ file, model: 'nick' }),
      'image first': () => client.images.edit({ image, prompt: 'bluer', model: 'nick' }),
    }
    for (const [name, call] of Object.entries(calls)) {
      await call()
      const text = seen.at(-1)?.body.toString('latin1')
      t.ok(/name="model"\r\n\r\nmodel-a\r\n/.test(text ?? ''), `${name}, ${bytes} bytes`)
      t.equal(seen.at(-1)?.headers['content-length'] ?? String(text?.length), String(text?.length))
    }
  }
})

/** A file, and the model behind it. */
function fileFirst(model: string, bytes: number): Buffer {
  const file = `Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n${'\r\n--y'.repeat(bytes / 5)}`
  const field = `Content-Disposition: form-data; name="model"\r\n\r\n${model}`
  return Buffer.from(`--x\r\n${file}\r\n--x\r\n${field}\r\n--x--\r\n`)
}
t.test('up to 20 MiB of a form may stand before its model', async (t) => {
  const { broker, v1, key, both, seen } = await stage(t)
  const limited = await addKey(broker, { models: ['model-a'] })
  const cases: [key: string, model: string, size: number, status: number, up?: string][] = [
    [both, 'model-b', 2 * MIB, 200],
    [both, 'nick', 2 * MIB, 200, 'model-a'],
    [both, 'second/model-b', 20 * MIB - 1_000, 200, 'model-b'],
    [both, 'nobody', 2 * MIB, 404],
    [limited, 'model-a', 2 * MIB, 200],
    [limited, 'nick', 20 * MIB - 1_000, 200, 'model-a'],
    [limited, 'model-b', 2 * MIB, 404],
    [limited, 'model-a', 21 * MIB, 404],
    [both, 'model-b', 21 * MIB, 200], // the first config: an upload of a file has no model at all
    [key, 'nick', 21 * MIB, 200],
  ]
  for (const [index, [bearer, model, size, status, up = model]] of cases.entries()) {
    for (const isChunked of [false, true]) {
      const before = seen.length
      const body = fileFirst(model, size)
      const answer = await send(`${v1}/audio/transcriptions`, bearer, body, { type: FORM, isChunked })
      t.equal(answer.status, status, `case ${index} ${isChunked ? 'chunked' : 'sized'}`)
      t.equal(seen.length, before + (status === 200 ? 1 : 0))
      if (status === 200) t.equal(sha256(seen.at(-1)?.body ?? ''), sha256(fileFirst(up, size)), 'whole')
      seen.length = 0
    }
  }
})

t.test('a form that waits for its model is looked at a few times, not with every piece', async (t) => {
  const { v1, key } = await stage(t)
  const used = async (type: string, body: Buffer) => {
    const before = process.cpuUsage()
    t.equal((await send(`${v1}/audio/transcriptions`, key, body, { type, isChunked: true })).status, 200)
    const { user, system } = process.cpuUsage(before)
    return user + system
  }
  const plain = Buffer.from(JSON.stringify({ model: 'model-a', file: 'y'.repeat(19 * MIB) }))
  await used('application/json', plain) // what is compiled once is compiled now
  const ofJson = await used('application/json', plain)
  const ofForm = await used(FORM, fileFirst('model-a', 19 * MIB))
  t.comment(`${(ofForm / ofJson).toFixed(1)} times as long as JSON`)
  t.ok(ofForm < 8 * ofJson, `${ofForm} µs, JSON ${ofJson} µs`) // more than 20 times with a look at each 64 KiB
})

function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function send(
  url: string,
  key: string,
  body: Buffer,
  { type, isChunked }: { type: string; isChunked: boolean },
) {
  const call = request(url, {
    method: 'POST',
    agent: false,
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': type,
      ...(isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.length }),
    },
  })
  call.on('error', () => {})
  call.end(body)
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  return finish(response)
}
