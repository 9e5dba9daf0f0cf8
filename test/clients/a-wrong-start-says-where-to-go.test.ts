/**
 * The first wrong steps of somebody with an SDK: all it shows them is the message of an error, which must lead on.
 */
import OpenAI, { APIError } from 'openai'
import t from 'tap'
import { ask } from '../gateway/fixtures/client.ts'
import { addKey, setUp } from '../gateway/fixtures/upstream.ts'
import { ADMIN_TOKEN } from '../support/broker.ts'

const messages = [{ role: 'user' as const, content: 'hi' }]

/** What an SDK's calls come to, by its own paths. */
const CALLS: Record<string, (openai: OpenAI) => Promise<unknown>> = {
  chat: (openai) => openai.chat.completions.create({ model: 'model-a', messages }),
  streamed: (openai) => openai.chat.completions.create({ model: 'model-a', messages, stream: true }),
  responses: (openai) => openai.responses.create({ model: 'model-a', input: 'hi' }),
  'a response': (openai) => openai.responses.retrieve('resp_1'),
  models: async (openai) => openai.models.list(),
  'a model': (openai) => openai.models.retrieve('org/name'),
  embeddings: (openai) => openai.embeddings.create({ model: 'model-a', input: 'hi' }),
  completions: (openai) => openai.completions.create({ model: 'model-a', prompt: 'hi' }),
  images: (openai) => openai.images.generate({ prompt: 'hi' }),
  moderations: (openai) => openai.moderations.create({ input: 'hi' }),
  files: async (openai) => openai.files.list(),
  upload: (openai) => openai.files.create({ file: new File(['x'.repeat(2_000_000)], 'x'), purpose: 'batch' }),
  batches: async (openai) => openai.batches.list(),
}

async function messageOf(promise: Promise<unknown>): Promise<{ status: number; message: string }> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof APIError)) throw new Error(`not an API error: ${error}`)
  return { status: error.status, message: error.message }
}

t.test('a base URL without /v1', async (t) => {
  const { broker, key, upstream } = await setUp(t)
  for (const baseURL of [broker.origin, `${broker.origin}/`]) {
    const openai = new OpenAI({ baseURL, apiKey: key, logLevel: 'off', maxRetries: 0 })
    for (const [name, call] of Object.entries(CALLS)) {
      const { status, message } = await messageOf(call(openai))
      t.equal(status, 404, name)
      t.match(message, `base URL must end in /v1, and calls go below it: ${broker.origin}/v1`, name)
    }
  }
  t.equal(upstream.calls.length, 0)
})

t.test('other addresses that only a client of a model API would call', async (t) => {
  const { broker, key } = await setUp(t)
  for (const path of [
    '/v1',
    '/v1/',
    '/messages',
    '/messages/count_tokens',
    '/audio/speech',
    '/realtime?model=x',
    '/openai/v1/chat/completions',
    '/api/v1/chat/completions',
    '/v2/responses',
  ]) {
    for (const method of ['GET', 'POST']) {
      const answer = await ask(broker.origin + path, { method, key, ...(method === 'POST' && { body: {} }) })
      t.equal(answer.status, 404, path)
      const { error } = JSON.parse(answer.body.toString())
      t.match(error, { type: 'invalid_request_error', param: null, code: 'not_found' }, path)
      t.match(error.message, `base URL must end in /v1, and calls go below it: ${broker.origin}/v1`, path)
    }
  }
})

t.test('the hint names the address by which people reach the broker', async (t) => {
  const { broker, key } = await setUp(t, { env: { PUBLIC_URL: 'https://corp.example/llm/' } })
  for (const path of ['/chat/completions', '/llm/chat/completions']) {
    const { body } = await ask(broker.origin + path, { key, body: {} })
    t.match(body.toString(), 'https://corp.example/llm/v1', path)
  }
})

t.test('each kind of wrong key is told apart, and none is told again', async (t) => {
  const { broker, configId, key, v1 } = await setUp(t)
  const expired = await addKey(broker, { model_config_ids: [configId], expires_at: Date.now() - 1_000 })
  const deleted = await addKey(broker)
  const { items } = (await broker.admin('GET', '/api/keys')).body
  const { id } = items.find(({ prefix }: { prefix: string }) => deleted.startsWith(prefix))
  await broker.admin('DELETE', `/api/keys/${id}`)
  const wrong: [why: string, apiKey: string, says: RegExp][] = [
    ['expired', expired, /has expired/],
    ['deleted', deleted, /the one sent was deleted/],
    ['mistyped', `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`, /not known here/],
    ['cut off', key.slice(0, -1), /cut off/],
    ['the admin token', ADMIN_TOKEN, /is the admin token/],
    ["OpenAI's", 'sk-proj-0123456789abcdef', /provider's own key/],
    ["a Coding Plan's", 'sk-sp-0123456789abcdef', /provider's own key/],
    ["Anthropic's", 'sk-ant-api03-0123456789', /provider's own key/],
    ['an access token', 'eyJhbGciOiJIUzI1NiJ9.e30.x', /provider's own key or token/],
    ['anything', 'YOUR_API_KEY', /begin with sk-tb-/],
  ]
  const told = new Set<string>()
  for (const [why, apiKey, says] of wrong) {
    const openai = new OpenAI({ baseURL: v1, apiKey, logLevel: 'off', maxRetries: 0 })
    const { status, message } = await messageOf(openai.models.list())
    t.equal(status, 401, why)
    t.match(message, says, why)
    t.match(message, /^401 token-broker: /, why)
    t.notMatch(message, apiKey.slice(8))
    told.add(message)
  }
  const none = await ask(`${v1}/models`)
  t.match(none.body.toString(), /none was found in Authorization, x-api-key or api-key/)
  t.equal(told.size, wrong.length - 3, "one sentence for every provider's")
})

t.test('an admin token short enough to be guessed is not confirmed', async (t) => {
  const { v1 } = await setUp(t, { env: { ADMIN_TOKEN: 'short' } })
  const { body } = await ask(`${v1}/models`, { key: 'short' })
  t.match(body.toString(), /begin with sk-tb-/)
})

t.test("upstream's errors and the broker's are told apart by the trace and by the message", async (t) => {
  const { upstream, key, v1, configId, broker } = await setUp(t)
  const body = { model: 'model-a' }
  const theirs = {
    error: { message: 'Incorrect API key provided', type: 'x', param: null, code: 'invalid_api_key' },
  }
  upstream.answer((_, response) =>
    response.writeHead(401, { 'content-type': 'application/json' }).end(JSON.stringify(theirs)),
  )
  const passed = await ask(`${v1}/chat/completions`, { key, body })
  t.equal(passed.status, 401)
  t.same(JSON.parse(passed.body.toString()), theirs)
  t.match(passed.headers['x-token-broker-trace'], 'config=main')
  const ours = [
    await ask(`${v1}/chat/completions`, { key: 'sk-wrong', body }),
    await ask(`${v1}/a%2F..%2Fb`, { key, body }),
  ]
  await broker.admin('PATCH', `/api/models/configs/${configId}/status?is_active=false`)
  ours.push(await ask(`${v1}/chat/completions`, { key, body }))
  for (const answer of ours) {
    t.notOk(answer.headers['x-token-broker-trace'])
    t.match(JSON.parse(answer.body.toString()).error.message, /^token-broker: /)
  }
})
