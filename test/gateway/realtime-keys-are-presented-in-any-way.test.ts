/** As browsers, servers and Azure's clients present them, with a key over several accounts. */
import { once } from 'node:events'
import { AzureOpenAI } from 'openai'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import t, { type Test } from 'tap'
import { selfSigned, trust } from '../support/certificates.ts'
import { startTls } from '../support/connect-proxy.ts'
import { answerTo, connect, type RealtimeSetup, setUpRealtime } from './fixtures/realtime.ts'
import { addConfig, addKey } from './fixtures/upstream.ts'

/** Over two accounts, of which the second serves `model-b`. */
async function setUpTwo(t: Test): Promise<RealtimeSetup> {
  const setup = await setUpRealtime(t)
  const base_url = `${setup.upstream.origin}/second/v1`
  await addConfig(setup.broker, { name: 'second', models: ['model-b'], base_url })
  return Object.assign(setup, { key: await addKey(setup.broker) })
}

const B = '/realtime?model=model-b'
const hidden = (key: string) => ['realtime', `openai-insecure-api-key.${key}`]

t.test('each finds the account of its model', async (t) => {
  const setup = await setUpTwo(t)
  const { key } = setup
  const ways: [why: string, path: string, protocols: string[], headers?: Record<string, string>][] = [
    ['a browser', B, hidden(key)],
    ['a browser of another version', B, [...hidden(key).toReversed(), 'openai-beta.realtime-v1']],
    ['a server', B, [], { authorization: `Bearer ${key}` }],
    ["Azure's header", `${B}&api-version=2025-08-28`, [], { 'api-key': key }],
    ["Azure's header, and a subprotocol", B, ['realtime'], { 'api-key': key }],
    ["an account's name", '/realtime?model=second%2Fmodel-b', hidden(key)],
  ]
  for (const [why, path, protocols, headers] of ways) {
    const socket = connect({ ...setup, key: '' }, path, protocols, headers)
    await once(socket, 'open')
    socket.send(why)
    t.equal(String((await once(socket, 'message'))[0]), why)
    const { url, headers: sent } = setup.asked.at(-1) ?? {}
    const query = path.includes('api-version') ? '&api-version=2025-08-28' : ''
    t.equal(url, `/second/v1/realtime?model=model-b${query}`, why)
    t.notMatch(JSON.stringify(sent), key)
    socket.terminate()
  }
  const unknown = connect({ ...setup, key: '' }, '/realtime?model=nobodys', hidden(key))
  t.equal((await answerTo(unknown)).status, 404)
})

t.test('where upstream takes no subprotocol the first that is no key is taken', async (t) => {
  const setup = await setUpTwo(t)
  setup.takes = () => false
  const socket = connect({ ...setup, key: '' }, B, hidden(setup.key).toReversed())
  await once(socket, 'open')
  t.equal(socket.protocol, 'realtime')
  socket.terminate()
  const [error] = await once(connect({ ...setup, key: '' }, B, hidden(setup.key).slice(1)), 'error')
  t.match(String(error), /no subprotocol/, 'a key is told to nobody')
})

t.test("Azure's own client", async (t) => {
  const pair = selfSigned(['localhost'])
  trust(t, pair)
  const ports: Record<string, number> = {}
  const tls = await startTls(t, pair, ports)
  const setup = await setUpTwo(t)
  ports['localhost'] = Number(new URL(setup.v1).port)
  const client = new AzureOpenAI({
    baseURL: `https://localhost:${tls}/v1`,
    apiKey: setup.key,
    apiVersion: '2025-08-28',
    logLevel: 'off',
  })
  const realtime = await OpenAIRealtimeWS.azure(client, { deploymentName: 'model-b' })
  realtime.on('error', () => {})
  await once(realtime.socket, 'open')
  t.match(setup.asked[0]?.url, /^\/second\/v1\/realtime\?.*model-b/)
  realtime.close()
})
