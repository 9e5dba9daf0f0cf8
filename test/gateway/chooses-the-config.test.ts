import t from 'tap'
import { BrokerError } from '../../src/base/errors.ts'
import { chooseRoutes } from '../../src/gateway/routing.ts'
import type { ModelConfig } from '../../src/model-config/config-index.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ask } from './fixtures/client.ts'
import { configOf, indexOf } from './fixtures/configs.ts'
import { addConfig, addKey, json, readAll, setUp } from './fixtures/upstream.ts'

const A = configOf('a', ['x', 'y'])
const B = configOf('b', ['y', 'z'])
const OFF = configOf('off', ['x', 'w'], { isActive: false })
const NESTED = configOf('a/deep', ['y'])
const ALIASED = configOf('aliased', ['real'], { aliases: { nick: 'real' } })

/** `config→model` of each route in order, or the code of the refusal. */
function routes(configs: ModelConfig[], asked: string | undefined, models: string[] | null = null): string {
  try {
    return [...chooseRoutes({ models }, indexOf(configs), asked)]
      .map((route) => `${route.config.name}→${route.model}`)
      .join(' ')
  } catch (error) {
    return error instanceof BrokerError ? error.code : String(error)
  }
}

t.test('the table of docs/api.md, Calls', async (t) => {
  const cases: [why: string, configs: ModelConfig[], asked: string | undefined, expected: string][] = [
    ['named', [A, B], 'b/z', 'b→z'],
    ['named, though another lists it first', [A, B], 'b/y', 'b→y'],
    ['named, a model it does not list', [A, B], 'b/new', 'b→new'],
    ['the longest name that fits', [A, NESTED], 'a/deep/y', 'a/deep→y'],
    ['a model id with a slash', [A], 'a/org/model', 'a→org/model'],
    ['a name is not a prefix of another', [A, B], 'ab/y', 'model_not_found'],
    ['nothing behind the name', [A, B], 'a/', 'a→'],
    ['listed, in the order of the key', [A, B], 'y', 'a→y b→y'],
    ['listed, in the other order', [B, A], 'y', 'b→y a→y'],
    ['listed once', [A, B], 'z', 'b→z'],
    ['an inactive one is passed over', [OFF, A], 'x', 'a→x'],
    ['an inactive one cannot be named', [OFF, A], 'off/x', 'model_not_found'],
    ['listed nowhere, the only config', [A], 'new', 'a→new'],
    ['listed nowhere, two configs', [A, B], 'new', 'model_not_found'],
    ['listed nowhere, one of two inactive', [A, OFF], 'new', 'model_not_found'],
    ['the only config is inactive', [OFF], 'x', 'model_not_found'],
    ['no config', [], 'x', 'model_not_found'],
    ['no model, the only config', [A], undefined, 'a→undefined'],
    ['no model, the first of two', [A, B], undefined, 'a→undefined'],
    ['no model, the first active one', [OFF, B, A], undefined, 'b→undefined'],
    ['no model, none active', [OFF], undefined, 'model_not_found'],
    ['an alias', [A, ALIASED], 'nick', 'aliased→real'],
    ['an alias behind a name', [A, ALIASED], 'aliased/nick', 'aliased→real'],
    ['no alias', [A, ALIASED], 'aliased/toString', 'aliased→toString'],
    ['no alias either', [A, ALIASED], '__proto__', 'model_not_found'],
    ['an empty model', [A, B], '', 'model_not_found'],
  ]
  for (const [why, configs, asked, expected] of cases) t.equal(routes(configs, asked), expected, why)
})

t.test('a key that is limited to models gets no other', async (t) => {
  t.equal(routes([A, B], 'y', ['y']), 'a→y b→y')
  t.equal(routes([A, B], 'a/y', ['y']), 'a→y')
  t.equal(routes([A, B], 'a/y', ['a/y']), 'a→y', 'it may name the config as well')
  t.equal(routes([A, B], 'b/y', ['a/y']), 'model_not_found')
  t.equal(routes([A, B], 'x', ['y']), 'model_not_found')
  t.equal(routes([A], 'new', ['y']), 'model_not_found')
  t.equal(routes([A], 'y', []), 'model_not_found')
})

const JSON_TYPE = { 'content-type': 'application/json' }

t.test('only the model is rewritten, byte for byte the rest', async (t) => {
  const { broker, upstream, v1 } = await setUp(t)
  await addConfig(broker, { name: 'second/配置', models: ['model-b'] })
  const key = await addKey(broker)
  let body = ''
  upstream.answer(async (request, response) => {
    body = (await readAll(request)).toString()
    json(response, {})
  })
  const around = (model: string) =>
    ` {"n":1.50e2,  "model" :${model} , "x":{"model":"second/y"},"t":"\\u00e9模"}\n`
  const rewritten: [sent: string, arrived: string][] = [
    ['"main/model-a"', '"model-a"'],
    ['"second/配置/model-b"', '"model-b"'],
    ['"second\\/\\u914d\\u7f6e\\/model-b"', '"model-b"'],
    ['"main/a \\"quoted\\" one"', '"a \\"quoted\\" one"'],
    ['"model-a"', '"model-a"'],
    ['"model-\\u0061"', '"model-\\u0061"'],
  ]
  for (const [sent, arrived] of rewritten) {
    const answer = await ask(`${v1}/chat/completions`, { key, body: around(sent), headers: JSON_TYPE })
    t.equal(answer.status, 200, sent)
    t.equal(body, around(arrived))
  }
  t.equal(upstream.calls.at(-1)?.headers['content-length'], String(Buffer.byteLength(body)))
})

t.test('a model that nobody serves is 404, and the answer names it', async (t) => {
  const { broker, upstream, v1 } = await setUp(t)
  await addConfig(broker, { name: 'second', models: ['model-b'] })
  const key = await addKey(broker)
  const answer = await ask(`${v1}/chat/completions`, { key, body: { model: 'nobody' }, headers: JSON_TYPE })
  t.equal(answer.status, 404)
  t.match(JSON.parse(answer.body.toString()), {
    error: {
      code: 'model_not_found',
      type: 'invalid_request_error',
      message: /: model "nobody"; its active configs are "main", "second"$/,
    },
  })
  const long = await ask(`${v1}/chat/completions`, { key, body: { model: 'x'.repeat(900) } })
  t.ok(long.body.length < 400, 'but not all of it')
  t.equal(upstream.calls.length, 0)
})

t.test('no disguise of the model gets a limited key past its limit', async (t) => {
  const { broker, upstream, configId, v1 } = await setUp(t)
  const key = await addKey(broker, { model_config_ids: [configId], models: ['cheap'] })
  const send = (body: string | Buffer, headers: Record<string, string> = JSON_TYPE) =>
    ask(`${v1}/chat/completions`, { key, body, headers })
  t.equal((await send('{"model":"cheap"}')).status, 200)
  t.equal((await send('{"model":"main/cheap"}')).status, 200)
  const disguises: [string | Buffer, Record<string, string>?][] = [
    ['{"model":"dear"}'],
    ['{"model":"main/dear"}'],
    ['{"model":"cheap","model":"dear"}'],
    ['{"model":"dear","model":"cheap"}'],
    ['{"model":"cheap","mod\\u0065l":"dear"}'],
    ['{"model":"cheap","MODEL":"dear"}'],
    ['{"Model":"dear"}'],
    ['{"messages":[]}'],
    [`{"model":"dear${' '.repeat(2_000)}"}`],
    ['\ufeff{"model":"dear"}'],
    [Buffer.from('{"model":"dear"}', 'utf16le')],
    ['{"model":"dear"}', { 'content-type': 'text/plain' }],
    ['{"model":"dear"}', { 'content-type': 'application/vnd.api+json' }],
    ['{"model":"dear"}', {}],
    ['model=dear', { 'content-type': 'application/x-www-form-urlencoded' }],
    [
      '--x\r\ncontent-disposition: form-data; name="model"\r\n\r\ndear\r\n--x--\r\n',
      { 'content-type': 'multipart/form-data; boundary=x' },
    ],
  ]
  const before = upstream.calls.length
  for (const [body, headers] of disguises) {
    const { status } = await send(body, headers)
    t.ok(status === 404 || status === 400, `${status}: ${JSON.stringify(body).slice(0, 60)}`)
  }
  t.equal(upstream.calls.length, before)
  t.equal((await ask(`${v1}/files/1`, { key })).status, 404, 'a call that names none is not among its own')
})

t.test('a config that is switched off, on or taken away counts from the next call', async (t) => {
  const { broker, configId, key, v1 } = await setUp(t)
  const status = async () => (await ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })).status
  const set = (isActive: boolean) =>
    broker.admin('PATCH', `/api/models/configs/${configId}/status?is_active=${isActive}`)
  t.equal(await status(), 200)
  await set(false)
  t.equal(await status(), 404)
  await set(true)
  t.equal(await status(), 200)
  await broker.admin('DELETE', `/api/models/configs/${configId}`)
  t.equal(await status(), 404)
})

t.test('a key over no config has none, whoever called before it', async (t) => {
  const { broker, v1 } = await setUp(t)
  const none = await addKey(broker, { model_config_ids: [] })
  const all = await addKey(broker)
  const statuses: number[] = []
  for (const key of [none, all, none]) {
    statuses.push((await ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })).status)
  }
  t.same(statuses, [404, 200, 404])
})

t.test('a changed API key or base URL counts from the next call', async (t) => {
  const { broker, upstream, configId, key, v1 } = await setUp(t)
  const put = (body: object) => broker.admin('PUT', `/api/models/configs/${configId}`, body)
  const call = () => ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
  t.equal((await call()).status, 200)
  t.equal((await put({ base_url: `${upstream.origin}/other/v1` })).status, 200)
  await call()
  t.equal(upstream.calls.at(-1)?.url, '/other/v1/chat/completions')
  await put({ api_key: 'sk-another-one' })
  t.equal((await call()).status, 401)
  t.equal(upstream.calls.at(-1)?.headers.authorization, 'Bearer sk-another-one')
  await waitUntil(() => broker.log.some((line) => line.includes('"status":401')))
})
