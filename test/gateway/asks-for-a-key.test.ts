import t from 'tap'
import { ask } from './fixtures/client.ts'
import { addKey, setUp } from './fixtures/upstream.ts'

const BODY = { model: 'model-a' }

t.test('without a valid key nothing goes up', async (t) => {
  const { upstream, broker, key, v1 } = await setUp(t)
  const wrong = `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`
  const bad: Record<string, string>[] = [
    {},
    { authorization: '' },
    { authorization: 'Bearer' },
    { authorization: 'Bearer ' },
    { authorization: `Bearer ${wrong}` },
    { authorization: `Bearer ${key}x` },
    { authorization: `Bearer${key}` },
    { authorization: `Bearer ${key}, Bearer ${key}` },
    { authorization: `Basic ${Buffer.from(`x:${key}`).toString('base64')}` },
    { authorization: key },
    { authorization: `Bearer ${key.toUpperCase()}` },
    { authorization: `Bearer ${broker.adminToken}` },
    { authorization: "Bearer ' or 1=1 --" },
    { 'x-api-key': wrong },
    { 'x-api-key': '' },
    { cookie: `key=${key}` },
    // two that disagree: which was meant is not for us to guess
    { authorization: `Bearer ${wrong}`, 'x-api-key': key },
    { authorization: `Bearer ${key}`, 'x-api-key': wrong },
    { authorization: `Bearer ${key}`, 'api-key': 'x' },
    { 'x-api-key': key, 'api-key': wrong },
  ]
  for (const headers of bad) {
    const answer = await ask(`${v1}/chat/completions`, { body: BODY, headers })
    t.equal(answer.status, 401, JSON.stringify(headers))
    t.match(JSON.parse(answer.body.toString()), {
      error: { code: 'invalid_api_key', type: 'authentication_error', param: null, message: /sk-tb-…/ },
    })
    t.match(answer.headers['x-request-id'], /./)
    t.notMatch(answer.body.toString(), wrong.slice(6))
  }
  t.equal(upstream.calls.length, 0)
})

t.test('a key may come as bearer, whatever its case and white space, as x-api-key or api-key', async (t) => {
  const { key, v1 } = await setUp(t)
  const good: Record<string, string>[] = [
    { authorization: `Bearer ${key}` },
    { authorization: `bearer ${key}` },
    { authorization: `BEARER ${key}` },
    ...[' ', '  ', '\t', ' \t  '].map((space) => ({ authorization: `Bearer${space}${key}` })),
    { 'x-api-key': key },
    { 'api-key': key },
    { authorization: 'Basic eDp5', 'x-api-key': key },
    { authorization: 'Basic eDp5', 'api-key': key },
    // an SDK that was given no key sends an empty one
    { authorization: 'Bearer ', 'x-api-key': key },
    { 'x-api-key': '', 'api-key': key },
    { authorization: `Bearer  ${key}`, 'x-api-key': key, 'api-key': key },
  ]
  for (const headers of good) {
    const { status } = await ask(`${v1}/chat/completions`, { body: BODY, headers })
    t.equal(status, 200, JSON.stringify(headers))
  }
  const torn = await ask(`${v1}/models`, { headers: { 'x-api-key': key, 'api-key': 'another' } })
  t.match(torn.body.toString(), /api-key holds another key than x-api-key/)
  const inQuery = await ask(`${v1}/chat/completions?api_key=${key}`, { body: BODY })
  t.equal(inQuery.status, 401, 'never in the query, which is logged everywhere')
})

t.test('a key that has expired is refused, and said to be', async (t) => {
  const { broker, configId, v1 } = await setUp(t)
  const key = await addKey(broker, { model_config_ids: [configId], expires_at: Date.now() - 1_000 })
  const answer = await ask(`${v1}/chat/completions`, { key, body: BODY })
  t.equal(answer.status, 401)
  t.match(answer.body.toString(), /invalid_api_key/)
  t.match(answer.body.toString(), /expired/)
})
