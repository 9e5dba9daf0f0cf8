/** `sticky_by` of a provider file, for providers that cache prompts by account. */
import t, { type Test } from 'tap'
import { startBroker } from '../support/broker.ts'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, json, startUpstream, type Upstream } from './fixtures/upstream.ts'

const NAMES = ['a', 'b', 'c'] as const
const USERS = Array.from({ length: 30 }, (_, index) => `user-${index}`)

/** One key over `other` and then a, b and c, which are one provider's. Only these serve the model m. */
async function setUpAccounts(t: Test, stickyBy?: string) {
  const upstream = await startUpstream(t)
  const place = `base_url: "${upstream.origin}/v1"`
  const broker = await startBroker(t, {
    config: `
allow_insecure_loopback: true
providers:
  accounts: { credential: api_key, upstream: { ${place}${stickyBy ? `, sticky_by: "${stickyBy}"` : ''} } }
  other: { credential: api_key, upstream: { ${place} } }
`,
  })
  const ids = [await addConfig(broker, { name: 'other', provider: 'other', models: ['both'] })]
  for (const name of NAMES) {
    const base_url = `${upstream.origin}/${name}/v1`
    ids.push(await addConfig(broker, { name, provider: 'accounts', base_url, models: ['m', 'both'] }))
  }
  const key = await addKey(broker, { model_config_ids: ids })
  /** The name of the config that answered. */
  const call = async (body: object, headers: Record<string, string> = {}) => {
    const url = `${broker.origin}/v1/chat/completions`
    const answer = await ask(url, { key, body: { model: 'm', ...body }, headers })
    return /^config=(\w+);/.exec(String(answer.headers['x-token-broker-trace']))?.[1]
  }
  return { upstream, call }
}

/** From now on the config of that name answers 429. */
function exhaust({ answer }: Upstream, name: string): void {
  answer(({ url }, response) => json(response, {}, url?.startsWith(`/${name}/`) ? 429 : 200))
}

t.test('without it the order of the key counts, whoever calls', async (t) => {
  const { call } = await setUpAccounts(t)
  for (const user of USERS) t.equal(await call({ user }, { 'x-session': user }), 'a')
})

for (const [stickyBy, callOf] of [
  ['user', (user: string) => [{ messages: [{ user: 'nested' }], user }]],
  ['header:X-Session', (user: string) => [{ user: 'another' }, { 'x-session': user }]],
] as [string, (user: string) => [object, Record<string, string>?]][]) {
  t.test(`by ${stickyBy}: each keeps to one, and moves only while that one is out`, async (t) => {
    const { upstream, call } = await setUpAccounts(t, stickyBy)
    const all = () => Promise.all(USERS.map((user) => call(...callOf(user))))
    const places = await all()
    t.same([...new Set(places)].sort(), NAMES, 'all of them are used')
    t.same(await all(), places)

    exhaust(upstream, 'b')
    const moved = await all()
    const stays = (place: string | undefined, index: number) =>
      places[index] === 'b' || place === places[index]
    t.ok(moved.every(stays), 'users of the others stay')
    t.same([...new Set(moved)].sort(), ['a', 'c'])
    t.same(await all(), moved, 'those who moved keep to their new place')
  })
}

t.test(
  'a call that names nobody, and the configs of other providers, keep to the order of the key',
  async (t) => {
    const { upstream, call } = await setUpAccounts(t, 'user')
    for (const body of [{}, { user: '' }, { user: 7 }, { user: null }]) t.equal(await call(body), 'a')
    for (const user of USERS) t.equal(await call({ model: 'both', user }), 'other')
    const places = await Promise.all(USERS.map((user) => call({ user })))
    exhaust(upstream, 'v1')
    const next = await Promise.all(USERS.map((user) => call({ model: 'both', user })))
    t.same(next, places, 'when their turn comes it is by user again')
  },
)
