import { once } from 'node:events'
import t from 'tap'
import { waitUntil } from '../support/wait-until.ts'
import { answerTo, closing, connect, open, setUpRealtime } from './fixtures/realtime.ts'
import { addKey } from './fixtures/upstream.ts'

const ASK = '{"type":"response.create"}'
const DONE = JSON.stringify({
  type: 'response.done',
  response: { output: [{ usage: { input_tokens: 99 } }], usage: { input_tokens: 12, output_tokens: 34 } },
})

t.test('each message that asks for an answer is a call, and what answers cost is counted', async (t) => {
  const setup = await setUpRealtime(t)
  setup.onMessage = (socket, message) => {
    if (message.toString().includes('answer me')) socket.send(DONE)
  }
  const { client, heard } = await open(setup)
  const long = 'x'.repeat(100_000)
  const asking = [
    ASK,
    ' \n{ "event_id" : "1" , "type" : "response.create" }',
    `{"event_id":"${long}","response":{"type":"other"},"type":"response.create"}`,
    '{"type":"other","type":"response.create"}',
    '{"t\\u0079pe":"response\\u002ecreate"}',
  ]
  const others = [
    '{"type":"response.cancel"}',
    '{"item":{"type":"response.create"}}',
    '{"type":["response.create"]}',
    '{"text":"\\"type\\":\\"response.create\\"","type":"session.update"}',
    '["response.create"]',
    'response.create',
    '',
  ]
  for (const text of [...asking, ...others]) client.send(text)
  client.send(Buffer.from(ASK)) // a server may read it all the same
  for (const [piece, fin] of [
    ['{"type":"resp', false],
    ['onse.', false],
    ['create"}', true],
  ] as const)
    client.send(piece, { fin })
  client.ping('response.create')
  client.send('answer me')
  client.send('answer me')
  await waitUntil(() => heard.length === asking.length + others.length + 4)
  const expected = { requests: 1 + asking.length + 2, errors: 0, prompt_tokens: 24, completion_tokens: 68 }
  const rows = async () => (await setup.broker.admin('GET', '/api/usage?group_by=model')).body.items
  await waitUntil(async () => (await rows())[0]?.prompt_tokens === 24)
  t.match(await rows(), [{ group: 'model-a', ...expected }])
  client.close()
})

t.test("a key's limit holds for handshakes and for what is asked over them", async (t) => {
  const setup = await setUpRealtime(t)
  const key = await addKey(setup.broker, { requests_per_minute: 3 })
  const { client, heard } = await open(setup, key)
  const closed = closing(client)
  client.send('free')
  for (let i = 0; i < 3; i += 1) client.send(ASK)
  t.match(await closed, [1008, /Too many requests/])
  await waitUntil(() => setup.arrived[0]?.socket.readyState === 3)
  t.same(heard.filter((text) => text === ASK).length < 3, true, 'what is too much does not reach upstream')
  t.match(await answerTo(connect({ ...setup, key })), { status: 429, body: /rate_limit_exceeded/ })
})

const BEGUN = '{"type":"response.created","response":{"id":"r"}}'

t.test('an answer that nobody asked for is a call, too: voice activity begins one', async (t) => {
  const setup = await setUpRealtime(t)
  setup.onMessage = (socket, message) => {
    const text = message.toString()
    if (text === ASK || text === 'speech') socket.send(BEGUN)
    socket.send(text === 'bye' ? 'bye' : DONE)
  }
  const { client, heard } = await open(setup)
  let said = ''
  client.on('message', (message: Buffer) => {
    said += message.toString()
  })
  for (const text of [ASK, ASK, 'speech', 'speech', '{"type":"response.created"}', 'speech'])
    client.send(text)
  client.send('bye')
  await waitUntil(() => said.endsWith('bye'))
  t.equal(heard.length, 7)
  const rows = async () => (await setup.broker.admin('GET', '/api/usage?group_by=model')).body.items
  await waitUntil(async () => (await rows())[0]?.prompt_tokens === 6 * 12)
  t.match(await rows(), [{ group: 'model-a', requests: 1 + 2 + 3, errors: 0, completion_tokens: 6 * 34 }])
  client.close()
})

t.test("a key's limit holds for them as well", async (t) => {
  const setup = await setUpRealtime(t)
  setup.onMessage = (socket) => socket.send(BEGUN)
  const key = await addKey(setup.broker, { requests_per_minute: 3 })
  const { client } = await open(setup, key)
  const closed = closing(client)
  for (let i = 0; i < 3; i += 1) client.send('speech')
  t.match(await closed, [1008, /Too many requests/])
  await waitUntil(() => setup.arrived[0]?.socket.readyState === 3)
})

t.test('a handshake that fails is an error of its config', async (t) => {
  const setup = await setUpRealtime(t)
  setup.upstream.server.removeAllListeners('upgrade')
  setup.upstream.answer((_, response) => response.writeHead(500).end())
  t.equal((await answerTo(connect(setup))).status, 500)
  const { items } = (await setup.broker.admin('GET', '/api/usage?group_by=config')).body
  t.match(items, [{ group: setup.configId, requests: 1, errors: 1 }])
})

t.test('a name that clients make up is counted as one', async (t) => {
  const setup = await setUpRealtime(t)
  for (const model of ['made-up-1', 'made-up-2']) {
    const client = connect(setup, `/realtime?model=${model}`)
    await once(client, 'open')
    client.terminate()
  }
  const { items } = (await setup.broker.admin('GET', '/api/usage?group_by=model')).body
  t.match(items, [{ group: '*', requests: 2 }])
})
