/**
 * OpenAI's own realtime client, pointed at a broker.
 */
import { once } from 'node:events'
import OpenAI from 'openai'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import t from 'tap'
import { setUpRealtime } from '../gateway/fixtures/realtime.ts'
import { strictConfig } from '../gateway/fixtures/upstream.ts'
import { selfSigned, trust } from '../support/certificates.ts'
import { startProxy, startTls } from '../support/connect-proxy.ts'

const DONE = { type: 'response.done', response: { id: 'r', usage: { input_tokens: 3, output_tokens: 4 } } }

/** The client speaks TLS only. Behind the broker TLS and a proxy stand, too. */
t.test('asks, is answered, and hears why it ends', async (t) => {
  const pair = selfSigned(['localhost', 'model.example'])
  trust(t, pair)
  const ports: Record<string, number> = {}
  const tls = await startTls(t, pair, ports)
  const proxy = await startProxy(t, { 'model.example:443': tls })
  const setup = await setUpRealtime(t, {
    config: strictConfig('https://model.example'),
    env: { HTTPS_PROXY: proxy.url },
  })
  ports['localhost'] = Number(new URL(setup.v1).port)
  ports['model.example'] = Number(new URL(setup.upstream.origin).port)
  setup.onMessage = (socket, message) => {
    const { type } = JSON.parse(message.toString()) as { type: string }
    if (type !== 'response.create') return
    socket.send(JSON.stringify({ type: 'response.output_text.delta', delta: 'hello' }))
    socket.send(JSON.stringify(DONE))
  }
  const client = new OpenAI({ baseURL: `https://localhost:${tls}/v1`, apiKey: setup.key, logLevel: 'off' })
  const realtime = new OpenAIRealtimeWS({ model: 'model-a' }, client)
  realtime.on('error', () => {})
  await once(realtime.socket, 'open')
  let text = ''
  realtime.on('response.output_text.delta', ({ delta }) => {
    text += delta
  })
  const done = realtime.emitted('response.done')
  realtime.send({ type: 'response.create' })
  t.match(await done, DONE)
  t.equal(text, 'hello')
  const closed = once(realtime.socket, 'close')
  await setup.broker.admin('DELETE', `/api/models/configs/${setup.configId}`)
  t.equal((await closed)[0], 1008)
  const { items } = (await setup.broker.admin('GET', '/api/usage?group_by=key')).body
  t.same(proxy.asked, ['model.example:443'])
  t.match(items, [{ requests: 2, prompt_tokens: 3, completion_tokens: 4 }])
})
