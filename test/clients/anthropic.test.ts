/** Anthropic's own client, pointed at a broker with the sandbox behind it. */
import Anthropic, { APIError, AuthenticationError, NotFoundError } from '@anthropic-ai/sdk'
import t, { type Test } from 'tap'
import { startBroker } from '../support/broker.ts'

const model = 'sandbox-model'
const messages: Anthropic.MessageParam[] = [{ role: 'user', content: 'good morning' }]
const HELLO = 'Hello from the sandbox! You said: “good morning”'
/** Newer than any that a file of ours names. */
const VERSION = '2099-01-01'
const call = { model, max_tokens: 100, messages }
const tools: Anthropic.Tool[] = [
  {
    name: 'weather',
    input_schema: {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'number' } },
      required: ['city', 'days'],
    },
  },
]

async function connect(t: Test) {
  const broker = await startBroker(t)
  const { key } = await broker.connect()
  const client = (options: ConstructorParameters<typeof Anthropic>[0]) =>
    new Anthropic({
      baseURL: broker.origin,
      apiKey: null,
      authToken: null,
      logLevel: 'off',
      maxRetries: 0,
      ...options,
    })
  return { broker, key, client, anthropic: client({ apiKey: key }), sandbox: broker.sandbox }
}

async function errorOf(promise: PromiseLike<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

t.test('a message, whole and streamed, and its tokens in the books', async (t) => {
  const { anthropic, broker } = await connect(t)
  const whole = await anthropic.messages.create({ ...call, system: 'be brief' })
  t.match(whole, { content: [{ type: 'text', text: HELLO }], stop_reason: 'end_turn' })
  t.match(whole.usage, { input_tokens: 4, output_tokens: 8 })
  const stream = anthropic.messages.stream(call)
  const pieces: string[] = []
  stream.on('text', (piece) => void pieces.push(piece))
  const streamed = await stream.finalMessage()
  t.match(streamed, { content: [{ type: 'text', text: HELLO }], stop_reason: 'end_turn' })
  t.ok(pieces.length > 3)
  t.equal((await anthropic.messages.countTokens({ model, messages })).input_tokens, 2)
  const { items } = (await broker.admin('GET', '/api/usage?group_by=model')).body
  t.match(items, [{ requests: 3, prompt_tokens: 6, completion_tokens: 16 }])
})

t.test('a tool is called and its answer used, streamed', async (t) => {
  const { anthropic } = await connect(t)
  const asked = await anthropic.messages.stream({ ...call, tools }).finalMessage()
  const [use] = asked.content
  if (use?.type !== 'tool_use') throw new Error('no tool is used')
  t.match(asked, { stop_reason: 'tool_use' })
  t.match(use, { name: 'weather', input: { city: 'sandbox city', days: 1 } })
  const [plain] = (await anthropic.messages.create({ ...call, tools })).content
  t.match(plain, { type: 'tool_use', name: 'weather', input: use.input })
  const result: Anthropic.ToolResultBlockParam = {
    type: 'tool_result',
    tool_use_id: use.id,
    content: [{ type: 'text', text: 'sunny' }],
  }
  const answered = await anthropic.messages
    .stream({
      ...call,
      tools,
      messages: [
        ...messages,
        { role: 'assistant', content: asked.content },
        { role: 'user', content: [result, { type: 'text', text: 'remember to be brief' }] },
      ],
    })
    .finalMessage()
  t.match(answered.content, [{ type: 'text', text: 'The tool answered: “sunny”' }])
})

t.test('the key is taken in either header, and in both', async (t) => {
  const { client, key, sandbox } = await connect(t)
  for (const options of [
    { authToken: key },
    { defaultHeaders: { 'x-api-key': key } },
    { authToken: key, defaultHeaders: { 'x-api-key': key } },
  ]) {
    await client(options).messages.create(call, { headers: { 'anthropic-version': VERSION } })
    const headers = sandbox.counts.lastUpstreamRequest?.headers
    t.equal(headers?.['x-api-key'], undefined)
    t.equal(headers?.['anthropic-version'], VERSION)
  }
  const twoKeys = client({ authToken: key, defaultHeaders: { 'x-api-key': 'sk-tb-another' } })
  t.match(await errorOf(twoKeys.messages.create(call)), { status: 401, type: 'authentication_error' })
})

t.test('models, and errors that the client knows', async (t) => {
  const { anthropic, client } = await connect(t)
  const ids: string[] = []
  for await (const { id, type } of anthropic.models.list()) ids.push(`${type} ${id}`)
  t.same(ids, ['model sandbox-model', 'model sandbox-embedding'])
  t.match(await anthropic.models.retrieve(model), { id: model, type: 'model' })

  const refused = await errorOf(client({ apiKey: 'sk-tb-wrong', maxRetries: 5 }).messages.create(call))
  if (!(refused instanceof AuthenticationError)) throw refused
  t.match(refused, { type: 'authentication_error', message: /token-broker: A call needs a broker key/ })
  t.equal(refused.headers?.get('x-should-retry'), 'false')
  t.ok(refused.requestID)
  const unknown = await errorOf(anthropic.messages.create({ ...call, model: 'no-such' }))
  t.ok(unknown instanceof NotFoundError)
  t.match(unknown, { type: 'not_found_error' })
})

t.test('a stream that upstream breaks off ends with an error that the client throws', async (t) => {
  const { anthropic, sandbox } = await connect(t)
  sandbox.faults.next('upstream', { cutAfterChunks: 5 })
  const broken = await errorOf(anthropic.messages.stream(call).finalMessage())
  t.ok(broken instanceof APIError, String(broken))
  t.match(broken, { type: 'api_error', message: /token-broker: The model endpoint broke off/ })
})
