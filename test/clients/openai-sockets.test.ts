/**
 * OpenAI's own clients of WebSockets, through a broker to the sandbox.
 */
import { once } from 'node:events'
import OpenAI from 'openai'
import type { Responses } from 'openai/resources/responses/responses'
import { ResponsesWS } from 'openai/resources/responses/ws'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { answerTo } from '../gateway/fixtures/realtime.ts'
import { startBroker } from '../support/broker.ts'

const model = 'sandbox-model'
const HELLO = 'Hello from the sandbox! You said: “good morning”'

async function connect(t: Test) {
  const broker = await startBroker(t)
  const { key } = await broker.connect()
  const openai = new OpenAI({ baseURL: `${broker.origin}/v1`, apiKey: key, logLevel: 'off', maxRetries: 0 })
  return { broker, key, openai }
}

type Create = Omit<Responses.ResponsesClientEvent.ResponseCreate, 'type'>

/** Asks, and hears until that is over. */
async function ask(socket: ResponsesWS, request: Create): Promise<Responses.ResponsesServerEvent[]> {
  const events: Responses.ResponsesServerEvent[] = []
  const over = new Promise<void>((resolve) => {
    const hear = (event: Responses.ResponsesServerEvent) => {
      events.push(event)
      if (event.type !== 'response.completed' && event.type !== 'error') return
      socket.off('event', hear)
      resolve()
    }
    socket.on('event', hear)
  })
  socket.send({ type: 'response.create', ...request })
  await over
  return events
}

t.test('responses over one socket, as Codex asks for them', async (t) => {
  const { broker, openai } = await connect(t)
  const socket = new ResponsesWS(openai, {
    headers: { 'openai-beta': 'responses_websockets=2026-02-06' },
  })
  t.teardown(() => socket.close())
  socket.on('error', () => {})
  const instructions = { role: 'developer' as const, content: 'be brief' }
  const prepared = await ask(socket, { model, input: [instructions], store: false, generate: false })
  t.same(
    prepared.map(({ type }) => type),
    ['response.created', 'response.completed'],
  )
  const idOf = (events: typeof prepared) => (events.at(-1) as Responses.ResponseCompletedEvent).response.id
  const turn = {
    model,
    input: [{ role: 'user' as const, content: 'good morning' }],
    previous_response_id: idOf(prepared),
    store: false,
    stream: true,
  }
  const answered = await ask(socket, turn)
  const texts = answered.map((event) => (event.type === 'response.output_text.delta' ? event.delta : ''))
  t.equal(texts.join(''), HELLO)
  t.match(answered.at(-1), { type: 'response.completed', response: { usage: { input_tokens: 4 } } })
  const lost = { ...turn, previous_response_id: 'resp_nobodys' }
  t.match(await ask(socket, lost), [
    { type: 'error', status: 400, error: { code: 'previous_response_not_found' } },
  ])
  t.match(await ask(socket, { model, input: 'x', background: true }), [{ type: 'error', status: 400 }])
  t.match(await ask(socket, { model: 'other', input: 'x' }), [{ type: 'error', status: 404 }])

  await t.rejects(openai.responses.retrieve(idOf(answered)), { status: 404, code: 'not_found' })
  const stored = await ask(socket, { model, input: 'good morning' })
  const next = await openai.responses.create({ model, input: 'x', previous_response_id: idOf(stored) })
  t.equal((await openai.responses.inputItems.list(next.id)).data.length, 3)
  const { items } = (await broker.admin('GET', '/api/usage?group_by=key')).body
  t.match(items, [{ prompt_tokens: 2 + 4 + 2 + (next.usage?.input_tokens ?? 0) }])
})

t.test('a realtime session is opened, spoken to, and answers', async (t) => {
  const { broker, key } = await connect(t)
  const url = `${broker.origin.replace('http:', 'ws:')}/v1/realtime?model=${model}`
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${key}` } })
  t.teardown(() => socket.terminate())
  const events: { type: string; [member: string]: unknown }[] = []
  socket.on('message', (text) => events.push(JSON.parse(text.toString())))
  await once(socket, 'message')
  const say = async (event: object, until: string) => {
    socket.send(JSON.stringify(event))
    while (events.at(-1)?.type !== until) await once(socket, 'message')
  }
  await say({ type: 'session.update', session: { instructions: 'be brief' } }, 'session.updated')
  const content = [{ type: 'input_text', text: 'good morning' }]
  const item = { type: 'message', role: 'user', content }
  await say({ type: 'conversation.item.create', item }, 'conversation.item.done')
  await say({ type: 'response.create' }, 'response.done')
  await say({ type: 'nothing.known' }, 'error')
  t.match(events.slice(0, 4), [
    { type: 'session.created', session: { model } },
    { type: 'session.updated', session: { model, instructions: 'be brief' } },
    { type: 'conversation.item.added' },
    { type: 'conversation.item.done', item: { content } },
  ])
  t.equal(
    events.map(({ type, delta }) => (type === 'response.output_text.delta' ? delta : '')).join(''),
    HELLO,
  )
  t.match(events.at(-2), {
    type: 'response.done',
    response: { usage: { input_tokens: 2, output_tokens: 8 } },
  })
})

t.test('a handshake needs a live token, a path and a model', async (t) => {
  const { broker, key } = await connect(t)
  const ws = `${broker.sandbox.origin.replace('http:', 'ws:')}/v1`
  t.equal((await answerTo(new WebSocket(`${ws}/responses`))).status, 401)
  const through = (path: string) => {
    const url = `${broker.origin.replace('http:', 'ws:')}/v1${path}`
    return answerTo(new WebSocket(url, { headers: { authorization: `Bearer ${key}` } }))
  }
  t.equal((await through('/files')).status, 404)
  t.equal((await through('/realtime')).status, 404)
  t.equal((await through('/responses')).status, 101)
})
