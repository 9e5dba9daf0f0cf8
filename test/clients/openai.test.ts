/**
 * OpenAI's own client, pointed at a broker: what an application sees.
 */
import OpenAI, { APIConnectionError, APIError, AuthenticationError, NotFoundError } from 'openai'
import t, { type Test } from 'tap'
import type { Fault } from '../../src/sandbox/faults.ts'
import { type BrokerOptions, startBroker } from '../support/broker.ts'
import { waitUntil } from '../support/wait-until.ts'

const model = 'sandbox-model'
const messages = [{ role: 'user' as const, content: 'good morning' }]
const HELLO = 'Hello from the sandbox! You said: “good morning”'
const tools = [
  {
    type: 'function' as const,
    function: {
      name: 'weather',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  },
]

async function connect(t: Test, options: BrokerOptions = {}) {
  const broker = await startBroker(t, options)
  const { key, configId } = await broker.connect()
  const client = (apiKey = key) => new OpenAI({ baseURL: `${broker.origin}/v1`, apiKey, logLevel: 'off' })
  return { broker, configId, client, openai: client(), sandbox: broker.sandbox }
}

/** What a promise is rejected with. */
async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

t.test('chat, whole', async (t) => {
  const { openai } = await connect(t)
  const completion = await openai.chat.completions.create({ model, messages })
  t.equal(completion.choices[0]?.message.content, HELLO)
  t.equal(completion.model, model)
  t.ok(completion._request_id, 'the id to ask us about')
})

t.test('chat, streamed, with usage at the end', async (t) => {
  const { openai } = await connect(t)
  const stream = await openai.chat.completions.create({
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
  })
  const pieces: string[] = []
  let words: number | undefined
  for await (const chunk of stream) {
    pieces.push(chunk.choices[0]?.delta.content ?? '')
    words = chunk.usage?.completion_tokens
  }
  t.equal(pieces.join(''), HELLO)
  t.ok(pieces.length > 3)
  t.equal(words, 8)
})

t.test('a tool is called and its answer is used, whole and streamed', async (t) => {
  const { openai } = await connect(t)
  const asked = await openai.chat.completions.create({ model, messages, tools })
  const call = asked.choices[0]?.message.tool_calls?.[0]
  t.match(call, { type: 'function', function: { name: 'weather', arguments: '{"city":"sandbox city"}' } })
  t.equal(asked.choices[0]?.finish_reason, 'tool_calls')
  const answered = await openai.chat.completions.create({
    model,
    tools,
    messages: [
      ...messages,
      { role: 'assistant', tool_calls: [call as NonNullable<typeof call>] },
      { role: 'tool', tool_call_id: call?.id ?? '', content: 'sunny' },
    ],
  })
  t.match(answered.choices[0]?.message.content, /sunny/)

  const streamed = await openai.chat.completions.stream({ model, messages, tools }).finalChatCompletion()
  t.match(streamed.choices[0]?.message.tool_calls?.[0], {
    function: { name: 'weather', arguments: '{"city":"sandbox city"}' },
  })
})

t.test(
  'embeddings come out the same by base64, which the client asks for unasked, and by float',
  async (t) => {
    const { openai, sandbox } = await connect(t)
    const request = { model: 'sandbox-embedding', input: ['one', 'two'] }
    const packed = await openai.embeddings.create(request)
    const plain = await openai.embeddings.create({ ...request, encoding_format: 'float' })
    t.equal(packed.data[0]?.embedding.length, 8)
    t.same(packed.data, plain.data)
    t.not(packed.data[0]?.embedding, packed.data[1]?.embedding)
    t.equal(sandbox.counts.upstreamCalls, 2)
  },
)

t.test('models are listed', async (t) => {
  const { openai } = await connect(t)
  const ids: string[] = []
  for await (const { id } of openai.models.list()) ids.push(id)
  t.ok(ids.includes(model), ids.join())
})

t.test('a wrong key is an AuthenticationError, an unknown model a NotFoundError', async (t) => {
  const { client, openai } = await connect(t)
  const refused = await errorOf(client('sk-tb-wrong').chat.completions.create({ model, messages }))
  t.ok(refused instanceof AuthenticationError)
  t.match(refused, { status: 401, code: 'invalid_api_key', type: 'authentication_error' })

  const unknown = await errorOf(openai.chat.completions.create({ model: 'no-such', messages }))
  t.ok(unknown instanceof NotFoundError)
  t.match(unknown, { status: 404, code: 'model_not_found' })
})

t.test('a dead credential is an AuthenticationError that is not retried', async (t) => {
  const { openai, broker, sandbox } = await connect(t)
  await sandbox.revokeFamilies()
  const dead = await errorOf(openai.chat.completions.create({ model, messages }))
  if (!(dead instanceof AuthenticationError)) throw dead
  t.match(dead, { status: 401, code: 'credential_reauth_required', message: /请重新登录/ })
  t.equal(dead.headers?.get('x-should-retry'), 'false')
  t.equal(sandbox.counts.upstreamCalls, 1)
  t.equal(broker.log.filter((line) => line.includes('"msg":"call"')).length, 1, 'one try')
})

t.test('the same header stops the retries the client would make of its own', async (t) => {
  const { openai, sandbox } = await connect(t)
  sandbox.faults.next('upstream', { status: 503, body: { error: { message: 'busy' } } }, 2)
  const completion = await openai.chat.completions.create({ model, messages })
  t.equal(completion.choices[0]?.message.content, HELLO, 'without the header it tries again')
  t.equal(sandbox.counts.upstreamCalls, 3)

  const headers = { 'x-should-retry': 'false' }
  sandbox.faults.next('upstream', { status: 503, body: { error: { message: 'busy' } }, headers }, 1)
  t.match(await errorOf(openai.chat.completions.create({ model, messages })), { status: 503 })
  t.equal(sandbox.counts.upstreamCalls, 4, "upstream's own header comes through")
})

t.test('a stream that upstream breaks off throws, and what came before it is kept', async (t) => {
  const { openai, sandbox } = await connect(t)
  const consume = async (fault: Fault) => {
    sandbox.faults.next('upstream', fault)
    const stream = await openai.chat.completions.create({ model, messages, stream: true })
    let chunks = 0
    const thrown = await errorOf(
      (async () => {
        for await (const _ of stream) chunks += 1
      })(),
    )
    return { thrown, chunks }
  }
  const between = await consume({ cutAfterChunks: 3 })
  t.equal(between.chunks, 3)
  t.ok(between.thrown instanceof APIError && !(between.thrown instanceof APIConnectionError))
  t.match(between.thrown, { code: 'upstream_broken', type: 'server_error' })

  // The client gives up at the half event, before it comes to ours.
  const within = await consume({ halfBody: true })
  t.equal(within.chunks, 1)
  t.ok(within.thrown instanceof SyntaxError)
})

t.test('a client that leaves in mid-stream hangs up upstream too', async (t) => {
  const { openai, sandbox } = await connect(t)
  const stream = await openai.chat.completions.create({ model, messages, stream: true })
  for await (const _ of stream) break
  await waitUntil(() => sandbox.counts.upstreamCancelled > 0)
  t.equal(sandbox.counts.upstreamCancelled, 1)
})
