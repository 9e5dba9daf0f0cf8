/** OpenAI's own client with its Responses API, through a broker to the sandbox. */
import OpenAI, { APIError } from 'openai'
import type { Responses } from 'openai/resources/responses/responses'
import t, { type Test } from 'tap'
import { startBroker } from '../support/broker.ts'

const model = 'sandbox-model'
const input = 'good morning'
const HELLO = 'Hello from the sandbox! You said: “good morning”'
const tools: Responses.FunctionTool[] = [
  {
    type: 'function',
    name: 'weather',
    strict: true,
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string' },
        days: { type: 'array', items: { type: 'integer', minimum: 3 } },
      },
      required: ['city', 'days'],
    },
  },
]

async function connect(t: Test) {
  const broker = await startBroker(t)
  const { key } = await broker.connect()
  const openai = new OpenAI({ baseURL: `${broker.origin}/v1`, apiKey: key, logLevel: 'off', maxRetries: 0 })
  return { broker, openai, sandbox: broker.sandbox }
}

t.test('a response, whole and streamed', async (t) => {
  const { openai, broker } = await connect(t)
  const whole = await openai.responses.create({ model, input, instructions: 'be brief' })
  t.equal(whole.output_text, HELLO)
  t.match(whole, { status: 'completed', usage: { input_tokens: 4, output_tokens: 8, total_tokens: 12 } })
  const stream = openai.responses.stream({ model, input: [{ role: 'user', content: input }] })
  const pieces: string[] = []
  stream.on('response.output_text.delta', ({ delta }) => void pieces.push(delta))
  const streamed = await stream.finalResponse()
  t.equal(streamed.output_text, HELLO)
  t.equal(pieces.join(''), HELLO)
  t.ok(pieces.length > 3)
  const { items } = (await broker.admin('GET', '/api/usage?group_by=model')).body
  t.match(items, [{ requests: 2, prompt_tokens: 6, completion_tokens: 16 }])
})

t.test(
  'what Codex reads of a stream is there: each item as it is in the end, and then the response',
  async (t) => {
    const { openai } = await connect(t)
    for (const request of [
      { model, input },
      { model, input, tools },
    ]) {
      const events: Responses.ResponseStreamEvent[] = []
      for await (const event of await openai.responses.create({ ...request, stream: true }))
        events.push(event)
      t.same(
        events.map((event) => event.sequence_number),
        events.map((_, index) => index),
      )
      const [item, last] = events.slice(-2)
      if (item?.type !== 'response.output_item.done' || last?.type !== 'response.completed') throw item
      t.same(last.response.output, [item.item])
      t.ok(last.response.id && last.response.usage)
    }
  },
)

t.test('a tool is called and its answer used: by an id, and by sending all again', async (t) => {
  const { openai } = await connect(t)
  const asked = await openai.responses.stream({ model, input, tools }).finalResponse()
  const [call] = asked.output
  if (call?.type !== 'function_call') throw new Error('no function is called')
  t.match(call, { name: 'weather', status: 'completed' })
  t.same(JSON.parse(call.arguments), { city: 'sandbox city', days: [3] })
  const answer = { type: 'function_call_output' as const, call_id: call.call_id, output: 'sunny' }
  const ways: Responses.ResponseCreateParamsNonStreaming[] = [
    { model, tools, input: [answer], previous_response_id: asked.id },
    { model, tools, input: [{ role: 'user', content: input }, call, answer], store: false },
  ]
  for (const way of ways) {
    t.equal((await openai.responses.create(way)).output_text, 'The tool answered: “sunny”')
    const streamed = await openai.responses.stream({ ...way, stream: true }).finalResponse()
    t.equal(streamed.output_text, 'The tool answered: “sunny”')
  }
  const quiet = await openai.responses.create({ model, input, tools, tool_choice: 'none' })
  t.equal(quiet.output_text, HELLO)
})

t.test('a response is found again, goes on, and is deleted', async (t) => {
  const { openai } = await connect(t)
  const first = await openai.responses.create({ model, input })
  t.same((await openai.responses.retrieve(first.id)).output, first.output)
  const next = await openai.responses.create({ model, input: 'and you?', previous_response_id: first.id })
  const items = (await openai.responses.inputItems.list(next.id)).data
  t.same(
    items.map((item) => item.type),
    ['message', 'message', 'message'],
  )
  t.ok(items.every(({ id }) => id))
  await openai.responses.delete(first.id)
  await t.rejects(openai.responses.retrieve(first.id), { status: 404, code: 'not_found' })
  const lost = openai.responses.create({ model, input, previous_response_id: first.id })
  await t.rejects(lost, { status: 400, code: 'previous_response_not_found', param: 'previous_response_id' })
  const unstored = await openai.responses.create({ model, input, store: false })
  await t.rejects(openai.responses.retrieve(unstored.id), { status: 404, code: 'not_found' })
})

t.test('a stream that upstream breaks off is no whole answer', async (t) => {
  const { openai, sandbox } = await connect(t)
  sandbox.faults.next('upstream', { cutAfterChunks: 5 })
  const error = await openai.responses
    .stream({ model, input })
    .finalResponse()
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
  t.ok(error instanceof APIError, String(error))
  t.match(error, { code: 'upstream_broken' })
})

t.test('in the background it is queued, under way, and done, whoever asks meanwhile', async (t) => {
  const { openai } = await connect(t)
  const made = await openai.responses.create({ model, input, background: true })
  t.match(made, { status: 'queued', background: true, output: [] })
  const states: unknown[] = [made.status]
  let seen = made
  while (seen.status === 'queued' || seen.status === 'in_progress') {
    seen = await openai.responses.retrieve(made.id)
    if (seen.status !== states.at(-1)) states.push(seen.status)
  }
  t.same(states, ['queued', 'in_progress', 'completed'])
  t.equal(seen.output_text, HELLO)
  t.match(await openai.responses.cancel(made.id), { status: 'completed' }, 'what is over stays as it is')
  const next = await openai.responses.create({ model, input: 'and you?', previous_response_id: made.id })
  t.equal((await openai.responses.inputItems.list(next.id)).data.length, 3)
})

t.test('what is cancelled in the background goes no further, nor does its stream', async (t) => {
  const { openai } = await connect(t)
  const long = 'good morning '.repeat(20)
  const stream = await openai.responses.create({ model, input: long, background: true, stream: true })
  const types: string[] = []
  let id = ''
  for await (const event of stream) {
    types.push(event.type)
    if (event.type === 'response.created') id = event.response.id
    if (event.type === 'response.in_progress')
      t.match(await openai.responses.cancel(id), { id, status: 'cancelled', output: [] })
  }
  t.same(types.slice(0, 3), ['response.created', 'response.queued', 'response.in_progress'])
  t.notOk(types.includes('response.output_text.done'))
  t.equal((await openai.responses.retrieve(id)).status, 'cancelled')
})

t.test(
  'a stream from the background that broke off goes on behind the event that was heard last',
  async (t) => {
    const { openai } = await connect(t)
    const stream = await openai.responses.create({ model, input, background: true, stream: true })
    const heard: Responses.ResponseStreamEvent[] = []
    for await (const event of stream) {
      heard.push(event)
      if (event.type === 'response.output_text.delta') break
    }
    const [first] = heard
    if (first?.type !== 'response.created') throw first
    const starting_after = heard.at(-1)?.sequence_number ?? -1
    const rest = await openai.responses.retrieve(first.response.id, { stream: true, starting_after })
    for await (const event of rest) heard.push(event)
    t.same(
      heard.map((event) => event.sequence_number),
      heard.map((_, index) => index),
    )
    t.match(heard.at(-1), { type: 'response.completed', response: { status: 'completed' } })
    const again: string[] = []
    for await (const event of await openai.responses.retrieve(first.response.id, { stream: true }))
      again.push(event.type)
    t.same(
      again,
      heard.map((event) => event.type),
      'and from its beginning, when all is over',
    )
  },
)

t.test('what the background does not do is told', async (t) => {
  const { openai } = await connect(t)
  const refused = { status: 400, code: 'invalid_body' }
  await t.rejects(openai.responses.create({ model, input, background: true, store: false }), refused)
  const { id } = await openai.responses.create({ model, input })
  await t.rejects(openai.responses.cancel(id), { status: 400, code: 'not_in_background' })
  await t.rejects(openai.responses.retrieve(id, { stream: true }), { status: 400, code: 'not_in_background' })
  const { id: other } = await openai.responses.create({ model, input, background: true })
  await t.rejects(openai.responses.retrieve(other, { stream: true, starting_after: -2 }), refused)
  await t.rejects(openai.responses.cancel('resp_nobodys'), { status: 404, code: 'not_found' })
})
