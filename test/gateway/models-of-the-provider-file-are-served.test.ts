/** An account that lists no models serves those its provider file lists: in routing, in failover and in the books. */
import t from 'tap'
import { startBroker } from '../support/broker.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, json, startUpstream } from './fixtures/upstream.ts'

t.test('a list of the provider file counts where an account has none of its own', async (t) => {
  const upstream = await startUpstream(t)
  const config = `
allow_insecure_loopback: true
providers:
  lists: { credential: api_key, upstream: { base_url: "${upstream.origin}/v1", models: [shared, other] } }
  silent: { credential: api_key, upstream: { base_url: "${upstream.origin}/v1" } }
`
  const broker = await startBroker(t, { config })
  await addConfig(broker, { name: 'silent', provider: 'silent' })
  await addConfig(broker, { name: 'first', provider: 'lists' })
  await addConfig(broker, { name: 'second', provider: 'lists' })
  await addConfig(broker, { name: 'own', provider: 'lists', models: ['mine'] })
  const key = await addKey(broker)
  const say = (model: string) => ask(`${broker.origin}/v1/chat/completions`, { key, body: { model } })
  const configOf = (trace: unknown) => /config=([^;]+)/.exec(String(trace))?.[1]

  const cases: [model: string, status: number, config: string | undefined][] = [
    ['shared', 200, 'first'],
    ['other', 200, 'first'],
    ['mine', 200, 'own'],
    ['unknown', 404, undefined],
  ]
  for (const [model, status, from] of cases) {
    const answer = await say(model)
    t.match([answer.status, configOf(answer.headers['x-token-broker-trace'])], [status, from], model)
  }

  let calls = 0
  upstream.answer((_, response) => {
    calls += 1
    if (calls > 1) return json(response, { usage: { prompt_tokens: 1, completion_tokens: 2 } })
    return json(response, { error: { code: 'insufficient_quota' } }, 429)
  })
  const passed = await say('shared')
  t.match([passed.status, configOf(passed.headers['x-token-broker-trace'])], [200, 'second'])

  const models = async () => {
    const { items } = (await broker.admin('GET', '/api/usage?group_by=model')).body
    return items.map(({ group, requests }: Record<string, unknown>) => `${group} ${requests}`).sort()
  }
  await waitUntil(async () => (await models()).includes('shared 3'))
  t.same(await models(), ['mine 1', 'other 1', 'shared 3'])
})
