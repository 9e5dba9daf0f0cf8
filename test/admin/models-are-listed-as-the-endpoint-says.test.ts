import t from 'tap'
import { modelsIn } from '../../src/admin/upstream-models.ts'
import { logIn } from '../gateway/fixtures/sandbox-calls.ts'
import { type Handler, json, readAll, setUp, UPSTREAM_KEY } from '../gateway/fixtures/upstream.ts'

t.test('a list, as servers write it', async (t) => {
  const lists: [text: unknown, models: string[]][] = [
    [{ object: 'list', data: [{ id: 'b' }, { id: 'a', object: 'model' }, { id: 'b' }] }, ['b', 'a']],
    [{ models: [{ name: 'models/gemini-2.5-pro', displayName: 'x' }] }, ['gemini-2.5-pro']],
    [{ models: [{ name: 'Llama', model: 'llama3:8b' }] }, ['llama3:8b']],
    [[{ id: 'org/name' }], ['org/name']],
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
    [{ data: [] }, []],
    [{ data: [{ id: 7 }, null, 'x'.repeat(256), { id: '' }, {}] }, []],
    [{ data: {} }, []],
    [null, []],
    ['text', []],
    [
      { data: Array.from({ length: 600 }, (_, n) => ({ id: `m${n}` })) },
      Array.from({ length: 500 }, (_, n) => `m${n}`),
    ],
  ]
  for (const [answer, models] of lists)
    t.same(modelsIn(JSON.stringify(answer)), models, JSON.stringify(answer)?.slice(0, 60))
  t.same(modelsIn('<html>'), [])
  t.same(modelsIn('{"data":[{"id":"a"'), [])
})

t.test('asked with the credential of the config, and whatever comes of it is said', async (t) => {
  const { broker, upstream, configId } = await setUp(t)
  const path = `/api/models/configs/${configId}/models`
  const data = [{ id: 'model-a' }, { id: 'model-z' }]
  const rows: [what: string, answer: Handler, body: object][] = [
    ['a list', (_, response) => json(response, { data }), { models: ['model-a', 'model-z'], reason: null }],
    ['no such route', (_, response) => json(response, {}, 404), { models: [], reason: /status 404/ }],
    [
      'a page',
      (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
      { models: [], reason: /no list/ },
    ],
    ['a cut connection', (_, response) => response.destroy(), { models: [], reason: /cannot be reached/ }],
    [
      'much',
      (_, response) =>
        json(response, { data: data.map((model) => ({ ...model, about: 'x'.repeat(100_000) })) }),
      { models: ['model-a', 'model-z'] },
    ],
  ]
  for (const [what, answer, body] of rows) {
    upstream.answer(answer)
    t.match(await broker.admin('GET', path), { status: 200, body }, what)
    t.equal(upstream.calls.at(-1)?.url, '/base/v1/models')
  }
  upstream.answer((_, response) => json(response, {}, 404))
  t.match((await broker.admin('GET', `${path}?lang=zh`)).body.reason, /上游响应 404/)
  t.match(await broker.admin('GET', '/api/models/configs/nobody/models'), {
    status: 404,
    body: { code: 'config_not_found' },
  })
})

t.test('by login, too', async (t) => {
  const { broker, configId } = await logIn(t)
  const { status, body } = await broker.admin('GET', `/api/models/configs/${configId}/models`)
  t.equal(status, 200)
  t.ok(body.models.includes('sandbox-model'), JSON.stringify(body))
  await broker.sandbox.revokeFamilies()
  await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  t.match(await broker.admin('GET', `/api/models/configs/${configId}/models`), {
    body: { code: 'credential_reauth_required' },
  })
})

t.test('a connection is tested with the first of them, where no model is named', async (t) => {
  const { broker, upstream } = await setUp(t)
  const test = async (query = '') =>
    (
      await broker.admin('POST', `/api/models/configs/test-connection${query}`, {
        base_url: `${upstream.origin}/base/v1/`,
        api_key: UPSTREAM_KEY,
      })
    ).body
  let asked = ''
  upstream.answer(async (request, response) => {
    if (request.url === '/base/v1/models')
      return json(response, { data: [{ id: 'first' }, { id: 'second' }] })
    asked = (await readAll(request)).toString()
    json(response, {})
  })
  t.match(await test(), { success: true })
  t.match(JSON.parse(asked), { model: 'first', max_tokens: 1 })
  upstream.answer((_, response) => json(response, {}, 404))
  t.match(await test(), {
    success: false,
    message: /^Name a model_id: the endpoint answered with status 404$/,
  })
  t.match(await test('?lang=zh'), { success: false, message: /请填写 model_id：上游响应 404/ })
})
