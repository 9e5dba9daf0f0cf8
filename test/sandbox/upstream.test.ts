import { randomBytes } from 'node:crypto'
import OpenAI from 'openai'
import t from 'tap'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import { logIn, start } from './fixtures/client.ts'

/** OpenAI's own client is the judge of the shape. */
async function connect(sandbox: Sandbox): Promise<OpenAI> {
  const { accessToken } = await logIn(sandbox)
  return new OpenAI({ baseURL: `${sandbox.origin}/v1`, apiKey: accessToken, maxRetries: 0 })
}

const WEATHER_TOOL = {
  type: 'function' as const,
  function: {
    name: 'weather',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string' },
        unit: { type: 'string', enum: ['C', 'F'] },
        days: { type: 'number' },
      },
      required: ['city', 'unit', 'days'],
    },
  },
}

t.test('without a live access token every call is refused', async (t) => {
  const sandbox = await start(t)
  for (const authorization of ['', 'Bearer x', 'Basic x']) {
    for (const path of ['/v1/models', '/v1/chat/completions', '/v1/anything']) {
      const response = await fetch(sandbox.origin + path, { headers: { authorization } })
      t.equal(response.status, 401)
      t.same(await response.json(), {
        error: {
          message: 'invalid access token or token expired',
          type: 'invalid_request_error',
          param: null,
          code: 'invalid_api_key',
        },
      })
    }
  }
  t.equal(sandbox.counts.unauthorized, 9)
})

t.test('models are listed, others are not found', async (t) => {
  const sandbox = await start(t)
  const openai = await connect(sandbox)
  const models = await openai.models.list()
  t.same(
    models.data.map(({ id }) => id),
    ['sandbox-model', 'sandbox-embedding'],
  )
  t.same(await openai.models.retrieve('sandbox-model'), models.data[0])
  await t.rejects(openai.models.retrieve('gpt-x'), { status: 404, code: 'model_not_found' })
  const messages = [{ role: 'user' as const, content: 'hi' }]
  const wrong = openai.chat.completions.create({ model: 'gpt-x', messages })
  await t.rejects(wrong, { status: 404, code: 'model_not_found', param: 'model' })
  await t.rejects(openai.get('/nothing/here'), { status: 404, code: 'unknown_url' })
})

t.test('a chat completion echoes the last user message', async (t) => {
  const openai = await connect(await start(t))
  const answer = await openai.chat.completions.create({
    model: 'sandbox-model',
    messages: [
      { role: 'user', content: 'first' },
      { role: 'assistant', content: 'yes' },
      { role: 'user', content: [{ type: 'text', text: 'second 你好' }] },
    ],
  })
  t.equal(answer.choices[0]?.message.content, 'Hello from the sandbox! You said: “second 你好”')
  t.equal(answer.choices[0]?.finish_reason, 'stop')
  t.match(answer.usage, { prompt_tokens: 4, completion_tokens: 8, total_tokens: 12 })
})

t.test('a stream comes in pieces over time, with the usage last if asked for', async (t) => {
  const openai = await connect(await start(t))
  for (const includeUsage of [true, false]) {
    const stream = await openai.chat.completions.create({
      model: 'sandbox-model',
      messages: [{ role: 'user', content: 'tell me 你好 please' }],
      stream: true,
      ...(includeUsage ? { stream_options: { include_usage: true } } : {}),
    })
    const chunks: OpenAI.ChatCompletionChunk[] = []
    const arrivedAt: number[] = []
    for await (const chunk of stream) {
      chunks.push(chunk)
      arrivedAt.push(performance.now())
    }
    t.equal(chunks[0]?.choices[0]?.delta.role, 'assistant')
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')
    t.equal(text, 'Hello from the sandbox! You said: “tell me 你好 please”')
    t.ok((arrivedAt.at(-1) ?? 0) - (arrivedAt[0] ?? 0) > 60, 'not all at once')
    const last = chunks.at(-1)
    if (includeUsage) t.match(last, { choices: [], usage: { prompt_tokens: 4 } })
    else t.equal(last?.usage, undefined)
    t.equal(chunks.at(includeUsage ? -2 : -1)?.choices[0]?.finish_reason, 'stop')
  }
})

t.test('a stream is server-sent events that end with [DONE]', async (t) => {
  const sandbox = await start(t)
  const { accessToken } = await logIn(sandbox)
  const response = await fetch(`${sandbox.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'sandbox-model',
      stream: true,
      messages: [{ role: 'user', content: 'x' }],
    }),
  })
  t.match(response.headers.get('content-type'), /^text\/event-stream/)
  t.match(await response.text(), /^(data: \{.+\}\n\n)+data: \[DONE\]\n\n$/)
})

t.test('a tool is called, and its answer quoted', async (t) => {
  const openai = await connect(await start(t))
  const question = { role: 'user' as const, content: 'weather?' }
  const request = { model: 'sandbox-model', messages: [question], tools: [WEATHER_TOOL] }
  const answer = await openai.chat.completions.create(request)
  t.equal(answer.choices[0]?.finish_reason, 'tool_calls')
  const call = answer.choices[0]?.message.tool_calls?.[0]
  if (call?.type !== 'function') throw new Error('no function is called')
  t.equal(call.function.name, 'weather')
  t.same(JSON.parse(call.function.arguments), { city: 'sandbox city', unit: 'C', days: 1 })

  const stream = openai.chat.completions.stream(request)
  let argumentDeltas = 0
  stream.on('tool_calls.function.arguments.delta', () => {
    argumentDeltas += 1
  })
  const streamed = (await stream.finalChatCompletion()).choices[0]?.message.tool_calls?.[0]
  t.match(streamed, { function: call.function })
  t.ok(argumentDeltas > 1, 'the arguments come in pieces')

  const after = await openai.chat.completions.create({
    ...request,
    messages: [
      question,
      { role: 'assistant', tool_calls: [call] },
      { role: 'tool', tool_call_id: call.id, content: '21 degrees' },
    ],
  })
  t.equal(after.choices[0]?.message.content, 'The tool answered: “21 degrees”')
  const without = await openai.chat.completions.create({ ...request, tool_choice: 'none' })
  t.equal(without.choices[0]?.finish_reason, 'stop')
})

t.test('text completions, whole and streamed', async (t) => {
  const openai = await connect(await start(t))
  const request = { model: 'sandbox-model', prompt: 'once upon' }
  const text = 'Hello from the sandbox! You said: “once upon”'
  t.equal((await openai.completions.create(request)).choices[0]?.text, text)
  let streamed = ''
  for await (const chunk of await openai.completions.create({ ...request, stream: true })) {
    streamed += chunk.choices[0]?.text ?? ''
  }
  t.equal(streamed, text)
})

t.test('embeddings are the same for the same input, in both encodings', async (t) => {
  const openai = await connect(await start(t))
  const request = { model: 'sandbox-embedding', input: ['one', 'two', 'one'] }
  const asFloat = (await openai.embeddings.create({ ...request, encoding_format: 'float' })).data
  const decoded = (await openai.embeddings.create(request)).data
  t.same(
    decoded.map(({ embedding }) => [...embedding]),
    asFloat.map(({ embedding }) => embedding),
  )
  const [one, two, oneAgain] = asFloat.map(({ embedding }) => embedding)
  t.same(one, oneAgain)
  t.notSame(one, two)
  t.ok(Math.abs(Math.hypot(...(one ?? [])) - 1) < 1e-6)
  const raw = await openai.embeddings.create({ ...request, encoding_format: 'base64' })
  const bytes = Buffer.from(String(raw.data[0]?.embedding), 'base64')
  t.equal(bytes.readFloatLE(4), one?.[1])
})

t.test('files are kept and found again, of any kind but not of any length', async (t) => {
  const sandbox = await start(t)
  const openai = await connect(sandbox)
  const made = await openai.files.create({
    file: new File(['hello \u4f60'], 'a \u4f60.txt', { type: 'text/plain' }),
    purpose: 'batch',
  })
  t.match(made, { object: 'file', id: /^file-/, bytes: 9, filename: 'a \u4f60.txt', purpose: 'batch' })
  t.same(await openai.files.retrieve(made.id), made)
  t.equal(await (await openai.files.content(made.id)).text(), 'hello \u4f60')

  const { accessToken } = await logIn(sandbox)
  const upload = async (content: Buffer, type: string) => {
    const response = await fetch(`${sandbox.origin}/v1/files`, {
      method: 'POST',
      headers: { authorization: `Bearer ${accessToken}`, 'content-type': type },
      body: new Uint8Array(content),
    })
    t.equal(sandbox.counts.lastUpstreamRequest?.bodyBytes, content.length)
    return (await response.json()) as OpenAI.FileObject
  }
  const bytes = randomBytes(1_000)
  const plain = await upload(bytes, 'application/octet-stream')
  const content = await (await openai.files.content(plain.id)).arrayBuffer()
  t.ok(Buffer.from(content).equals(bytes))
  const large = await upload(randomBytes(3_000_000), 'multipart/form-data; boundary=x')
  t.equal(large.bytes, 3_000_000)
  await t.rejects(openai.files.content(large.id), { status: 400, code: 'not_kept' })

  const list = await openai.files.list()
  t.same(
    list.data.map(({ id }) => id),
    [made.id, plain.id, large.id],
  )
  t.same(await openai.files.delete(made.id), { id: made.id, object: 'file', deleted: true })
  await t.rejects(openai.files.retrieve(made.id), { status: 404, code: 'not_found' })
})

t.test('whatever is heard is transcribed to the same', async (t) => {
  const openai = await connect(await start(t))
  const file = new File(['noise'], 'a.wav')
  const heard = await openai.audio.transcriptions.create({ file, model: 'whisper-1' })
  t.match(heard.text, /^Hello from the sandbox/)
  const text = await openai.audio.transcriptions.create({
    file: new File([randomBytes(2_000_000)], 'b.wav'),
    model: 'whisper-1',
  })
  t.equal(text.text, heard.text)
  const plain = await openai.audio.transcriptions.create({
    file,
    model: 'whisper-1',
    response_format: 'text',
  })
  t.equal(plain as unknown, heard.text)
})

t.test('bodies that make no sense', async (t) => {
  const sandbox = await start(t)
  const { accessToken } = await logIn(sandbox)
  const messages = [{ role: 'user', content: 'x' }]
  const model = 'sandbox-model'
  const cases: [string, string, string | null][] = [
    ['chat/completions', '{', null],
    ['chat/completions', '', null],
    ['chat/completions', '[]', null],
    ['chat/completions', JSON.stringify({ model }), null],
    ['chat/completions', JSON.stringify({ model, messages: [] }), 'messages'],
    ['chat/completions', JSON.stringify({ model, messages: 'x' }), 'messages'],
    ['chat/completions', JSON.stringify({ model, messages, stream_options: {} }), 'stream_options'],
    ['embeddings', JSON.stringify({ model: 'sandbox-embedding', input: 1 }), 'input'],
    ['files', '{}', null],
    ['responses', JSON.stringify({ model }), null],
    ['responses', JSON.stringify({ model, input: [] }), 'input'],
    ['messages', JSON.stringify({ model, messages, max_tokens: 0 }), 'max_tokens'],
    ['messages/count_tokens', JSON.stringify({ model, messages: 'x' }), 'messages'],
  ]
  for (const [path, body, param] of cases) {
    const response = await fetch(`${sandbox.origin}/v1/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
      body,
    })
    t.equal(response.status, 400, body)
    const isMessages = path.startsWith('messages')
    const error = { type: 'invalid_request_error', ...(!isMessages && { code: 'invalid_body', param }) }
    t.match(await response.json(), isMessages ? { type: 'error', error, request_id: /./ } : { error })
  }
})

t.test('the last request is remembered as it came', async (t) => {
  const sandbox = await start(t)
  const response = await fetch(`${sandbox.origin}/v1/some/where?a=1`, {
    method: 'PUT',
    headers: { 'x-test': 'yes', 'content-type': 'application/json' },
    body: '{"a":1}',
  })
  t.equal(response.status, 401)
  t.match(sandbox.counts.lastUpstreamRequest, {
    method: 'PUT',
    url: '/v1/some/where?a=1',
    headers: { 'x-test': 'yes' },
    bodyBytes: 7,
  })
})

t.test('a client that leaves mid-stream is counted, one that stays is not', async (t) => {
  const sandbox = await start(t)
  const openai = await connect(sandbox)
  const request = {
    model: 'sandbox-model',
    messages: [{ role: 'user' as const, content: 'x' }],
    stream: true as const,
  }
  for await (const chunk of await openai.chat.completions.create(request)) t.ok(chunk)
  t.equal(sandbox.counts.upstreamCancelled, 0)
  for await (const _chunk of await openai.chat.completions.create(request)) break
  while (sandbox.counts.upstreamCancelled === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.equal(sandbox.counts.upstreamCancelled, 1)
})
