import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import t from 'tap'
import { ask } from '../gateway/fixtures/client.ts'
import { addConfig, addKey, json, setUp } from '../gateway/fixtures/upstream.ts'
import { startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ANSWERS } from './fixtures/answers.ts'

const DAY_MS = 86_400_000

onEachDatabase(
  t,
  'requests, errors and tokens are there by key, config, model, day and hour',
  async (t, { url }) => {
    const broker = await startBroker(t, { databaseUrl: url })
    const first = await broker.connect('first')
    const second = await broker.connect('second')
    const say = (key: string, content: string, more: object = {}) =>
      ask(`${broker.origin}/v1/chat/completions`, {
        key,
        body: { model: 'sandbox-model', messages: [{ role: 'user', content }], ...more },
      })
    await say(first.key, 'one two three')
    await say(first.key, 'one two', { stream: true, stream_options: { include_usage: true } })
    await say(second.key, 'one')
    broker.sandbox.faults.next('upstream', { status: 500, body: { error: 'x' } })
    await say(second.key, 'one')

    // The sandbox counts words: "Hello from the sandbox! You said: …" is six and what was said.
    const byConfig = await broker.admin('GET', '/api/usage?group_by=config')
    t.equal(byConfig.status, 200)
    t.match(
      byConfig.body.items.find((row: { name: string }) => row.name === 'first'),
      {
        group: first.configId,
        requests: 2,
        errors: 0,
        prompt_tokens: 5,
        completion_tokens: 17,
      },
    )
    t.match(
      byConfig.body.items.find((row: { name: string }) => row.name === 'second'),
      {
        requests: 2,
        errors: 1,
        prompt_tokens: 1,
        completion_tokens: 7,
      },
    )

    // What was stored before is added to, not replaced.
    await say(first.key, 'four')
    const byKey = await broker.admin('GET', '/api/usage?group_by=key')
    t.same(
      byKey.body.items.map((row: { name: string; requests: number }) => [row.name, row.requests]).sort(),
      [
        ['first', 3],
        ['second', 2],
      ],
    )
    const all = { requests: 5, errors: 1, prompt_tokens: 7, completion_tokens: 31 }
    const byModel = await broker.admin('GET', '/api/usage?group_by=model')
    t.same(byModel.body.items, [{ group: 'sandbox-model', ...all }])
    const today = new Date().toISOString().slice(0, 10)
    const byDay = await broker.admin('GET', `/api/usage?from=${today}&to=${today}`)
    t.same(byDay.body.items, [{ group: today, ...all }])
    const inChina = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 10)
    t.match((await broker.admin('GET', '/api/usage?group_by=day&utc_offset=480')).body.items, [
      { group: inChina },
    ])

    const perHour = await broker.admin(
      'GET',
      `/api/usage?group_by=config&per=hour&config_id=${first.configId}`,
    )
    t.equal(perHour.body.items.length, 1)
    t.equal(perHour.body.items[0].at % 3_600_000, 0)
    t.equal((await broker.admin('GET', `/api/usage?to=${Date.now() - DAY_MS}`)).body.items.length, 0)
  },
)

t.test('an answer passes unchanged while its tokens are read', async (t) => {
  const { broker, upstream, key, v1 } = await setUp(t)
  const bytes = Buffer.concat([Buffer.from([0xff, 0xfe, 0x00]), Buffer.from('{"usage":{"prompt_tokens":4}}')])
  upstream.answer((_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(bytes))
  const answer = await ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
  t.ok(answer.body.equals(bytes))
  const usage = await broker.admin('GET', '/api/usage?group_by=model')
  t.match(usage.body.items, [{ group: 'model-a', prompt_tokens: 4 }])
})

t.test('whatever the dialect and the coding, and the bytes stay as they are', async (t) => {
  const { broker, upstream, v1, configId } = await setUp(t)
  const packers = {
    identity: async (bytes: Buffer) => bytes,
    gzip: promisify(zlib.gzip),
    br: promisify(zlib.brotliCompress),
    zstd: promisify(zlib.zstdCompress),
    deflate: promisify(zlib.deflate),
  }
  for (const [coding, pack] of Object.entries(packers)) {
    const key = await addKey(broker, { name: coding, model_config_ids: [configId] })
    for (const answer of ANSWERS) {
      const bytes = await pack(Buffer.from(answer.body))
      upstream.answer(async (_, response) => {
        const encoding = coding === 'identity' ? {} : { 'content-encoding': coding }
        response.writeHead(200, { 'content-type': answer.contentType, ...encoding })
        for (let at = 0; at < bytes.length; at += 7_001) {
          response.write(bytes.subarray(at, at + 7_001))
          await setImmediate()
        }
        response.end()
      })
      const { body } = await ask(`${v1}/x`, { key, body: { model: 'model-a' } })
      t.ok(body.equals(bytes), `${answer.name}, ${coding}`)
    }
  }
  const sum = (which: 'prompt' | 'completion') =>
    ANSWERS.reduce((all, { tokenCounts }) => all + tokenCounts[which], 0)
  const rows = async () =>
    (await broker.admin('GET', '/api/usage?group_by=key')).body.items as Record<string, unknown>[]
  await waitUntil(async () => (await rows()).every(({ requests }) => requests === ANSWERS.length))
  for (const row of await rows())
    t.match(row, { prompt_tokens: sum('prompt'), completion_tokens: sum('completion') }, String(row['name']))
})

t.test('names that clients make up are counted as one, answered or refused', async (t) => {
  const { broker, upstream, v1 } = await setUp(t)
  const aliases = { 'gpt-4o': 'model-x', nice: 'model-b' }
  const id = await addConfig(broker, { name: 'second', models: ['model-b', 'toString'], aliases })
  const key = await addKey(broker, { model_config_ids: [id] })
  const say = async (model: string | undefined, status: number) => {
    upstream.answer((_, response) =>
      json(response, { usage: { prompt_tokens: 1, completion_tokens: 1 } }, status),
    )
    await ask(`${v1}/chat/completions`, { key, body: { model } })
  }
  for (let i = 0; i < 300; i += 1) await say(`${i % 2 ? 'second/' : ''}made-up-${i}`, i % 3 ? 200 : 404)
  for (const model of [
    'model-b',
    'second/model-b',
    'nice',
    'gpt-4o',
    'toString',
    'constructor',
    '',
    undefined,
  ])
    await say(model, 200)
  const { items } = (await broker.admin('GET', '/api/usage?group_by=model')).body
  const requests = items.map(({ group, requests, errors }: Record<string, unknown>) => [
    group,
    requests,
    errors,
  ])
  t.same(requests, [
    ['', 1, 0],
    ['*', 302, 100],
    ['model-b', 3, 0],
    ['model-x', 1, 0],
    ['toString', 1, 0],
  ])
  const metrics = await broker.admin('GET', '/metrics')
  t.notMatch(metrics.body, /made-up|model-b/)
})

t.test('a call that never reached upstream is an error of its config', async (t) => {
  const { broker, upstream, key, v1, configId } = await setUp(t)
  upstream.server.closeAllConnections()
  await new Promise((resolve) => upstream.server.close(resolve))
  t.equal((await ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })).status, 502)
  const usage = await broker.admin('GET', '/api/usage?group_by=config')
  t.match(usage.body.items, [{ group: configId, requests: 1, errors: 1 }])
})

t.test('a question that cannot be read is refused by name', async (t) => {
  const broker = await startBroker(t)
  for (const query of ['from=yesterday', 'group_by=colour', 'utc_offset=9999', 'from=-1']) {
    const answer = await broker.admin('GET', `/api/usage?${query}`)
    t.equal(answer.status, 422, query)
    t.match(answer.body.message, new RegExp(query.split('=')[0] ?? ''))
  }
})
