/** `sticky_by` of a provider file, for providers that cache prompts by account. */
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { inStickyOrder } from '../../src/gateway/sticky.ts'
import type { Provider } from '../../src/provider/provider.ts'
import { startBroker } from '../support/broker.ts'
import { ask } from './fixtures/client.ts'
import { configOf } from './fixtures/configs.ts'
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

const PLACES = [
  'header:session-id',
  'header:x-claude-code-session-id',
  'header:x-session-id',
  'prompt_cache_key',
  'user',
]

t.test('the shipped files look where agents say which conversation it is', async (t) => {
  for (const name of ['openai', 'anthropic']) {
    const file = readFileSync(new URL(`../../config/providers/${name}.yaml`, import.meta.url), 'utf8')
    t.same(parse(file).upstream.sticky_by, PLACES, name)
  }
})

const EIGHT = Array.from({ length: 8 }, (_, n) => configOf(`c${n}`, ['m']))

/** Names of configs, in the order for a call that says this. */
function orderOf(said: Record<string, unknown>, text?: string): string {
  const upstream = { stickyBy: PLACES }
  const providers = new Map([['strict', { upstream } as unknown as Provider]])
  const entries = Object.entries(said)
  const headers = entries.filter(([place]) => place.startsWith('header:'))
  const members = entries.filter(([place]) => !place.startsWith('header:'))
  const body =
    text ?? JSON.stringify({ model: 'm', input: [{ user: 'nested' }], ...Object.fromEntries(members) })
  const order = inStickyOrder(
    { configs: EIGHT, version: 0 },
    providers,
    Object.fromEntries(headers.map(([place, value]) => [place.slice('header:'.length), String(value)])),
    Buffer.from(body),
  )
  return [...order].map(({ name }) => name).join()
}

const IN_THE_KEYS_ORDER = EIGHT.map(({ name }) => name).join()

t.test('of several places the first that says something counts', async (t) => {
  t.equal(orderOf({}), IN_THE_KEYS_ORDER)
  for (const [rank, place] of PLACES.entries()) {
    for (const later of PLACES.slice(rank)) {
      const wanted = orderOf({ user: 'a' })
      t.not(wanted, IN_THE_KEYS_ORDER)
      t.equal(orderOf({ [later]: 'b', [place]: 'a' }), wanted, `${place} before ${later}`)
      if (later !== place)
        t.equal(orderOf({ [place]: '', [later]: 'a' }), wanted, `${later} where ${place} is empty`)
    }
  }
})

t.test('the members of a body are found wherever they stand, and texts alone count', async (t) => {
  const wanted = orderOf({ user: 'u' })
  const long = JSON.stringify({ input: 'x'.repeat(200_000) }).slice(1, -1)
  for (const text of [
    '{"model":"a","user":"u"}',
    '{"us\\u0065r":"u"}',
    '{"user":"other","prompt_cache_key":"u"}',
    `{"user":"other",${long},"prompt_cache_key":"u"}`,
    '{"user":"u","prompt_cache_key":7}',
  ])
    t.equal(orderOf({}, text), wanted, text.slice(0, 60))
  for (const text of [
    '{"user":7}',
    '{"user":{"user":"u"}}',
    '{"model":"user"}',
    '[{"user":"u"}]',
    'user',
    '',
  ])
    t.equal(orderOf({}, text), IN_THE_KEYS_ORDER, text)
})
