import t from 'tap'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, setUp } from './fixtures/upstream.ts'

const VERSION = { 'anthropic-version': '2023-06-01' }

t.test("with anthropic-version models are listed as Anthropic's SDKs read them", async (t) => {
  const { broker, v1 } = await setUp(t)
  await addConfig(broker, { name: 'second', models: ['model-a', 'org/model-b'] })
  const get = async (path: string, headers: Record<string, string>, fields = {}) => {
    const answer = await ask(v1 + path, { key: await addKey(broker, fields), headers })
    return JSON.parse(answer.body.toString())
  }
  const list = (headers: Record<string, string>, fields = {}) => get('/models?limit=1000', headers, fields)
  const modelOf = (id: string) => ({
    type: 'model',
    id,
    display_name: id,
    created_at: '1970-01-01T00:00:00.000Z',
  })
  t.same(await list(VERSION), {
    data: [modelOf('model-a'), modelOf('org/model-b')],
    has_more: false,
    first_id: 'model-a',
    last_id: 'org/model-b',
  })
  t.same(await list(VERSION, { models: [] }), { data: [], has_more: false, first_id: null, last_id: null })
  t.same(await get('/models/org/model-b', VERSION), modelOf('org/model-b'))
  t.match(await get('/models/nobody', VERSION), { type: 'error', error: { type: 'not_found_error' } })
  const { object, data } = await list({})
  t.equal(object, 'list')
  t.match(data[1], { id: 'org/model-b', object: 'model', owned_by: 'second' })
})

t.test(
  "with one account whose endpoint lists its own, the list is the endpoint's, byte for byte",
  async (t) => {
    const { upstream, v1, key } = await setUp(t)
    const own = '{"data": [ {"type":"model","id":"x","display_name":"X"} ], "has_more": true }'
    upstream.answer((_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(own))
    for (const headers of [VERSION, {}] as Partial<typeof VERSION>[]) {
      for (const path of ['/models?limit=1&after_id=w', '/models/x']) {
        t.equal((await ask(v1 + path, { key, headers })).body.toString(), own)
        const call = upstream.calls.at(-1)
        t.equal(call?.url, `/base/v1${path}`)
        t.equal(call?.headers['anthropic-version'], headers['anthropic-version'])
      }
    }
  },
)

t.test("below /c/NAME/v1 an error is of the API's shape, too", async (t) => {
  const { broker, key } = await setUp(t)
  for (const [path, type] of [
    ['/c/nobody/v1/messages', 'error'],
    ['/c/nobody/v1/chat/completions', undefined],
  ] as const) {
    const answer = await ask(broker.origin + path, { key, body: { model: 'model-a' } })
    t.equal(answer.status, 404)
    t.equal(JSON.parse(answer.body.toString()).type, type, path)
    t.equal(answer.headers['request-id'], type && answer.headers['x-request-id'])
  }
})
