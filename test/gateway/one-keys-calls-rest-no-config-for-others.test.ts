/** What one key can make upstream answer is no reason to keep a config from the calls of other keys. */
import t, { type Test } from 'tap'
import { startBroker } from '../support/broker.ts'
import { ask, rawExchange } from './fixtures/client.ts'
import { addConfig, addKey, json, startUpstream } from './fixtures/upstream.ts'

/** Two keys over the configs a and b. */
async function setUpTwoKeys(t: Test) {
  const upstreams = [await startUpstream(t), await startUpstream(t)] as const
  const lines = upstreams.map(
    ({ origin }, i) => `  p-${i}: { credential: api_key, upstream: { base_url: "${origin}/v1" } }`,
  )
  const broker = await startBroker(t, {
    config: `allow_insecure_loopback: true\nproviders:\n${lines.join('\n')}\n`,
  })
  const ids: string[] = []
  for (const [i, name] of ['a', 'b'].entries()) {
    ids.push(await addConfig(broker, { name, provider: `p-${i}`, models: ['m'] }))
    upstreams[i]?.answer((_, response) => json(response, { from: name }))
  }
  const keys = [
    await addKey(broker, { name: 'one', model_config_ids: ids }),
    await addKey(broker, { name: 'other', model_config_ids: ids }),
  ] as const
  const call = (key: string, path = '/chat/completions', body: object = { model: 'm' }) =>
    ask(`${broker.origin}/v1${path}`, { key, body })
  return { broker, upstreams, keys, call }
}

const from = (answer: Awaited<ReturnType<typeof ask>>) => JSON.parse(answer.body.toString()).from

const ODD: Record<string, [path: string, body: object]> = {
  'of a path of its own': ['/some-admin-endpoint', { model: 'm' }],
  'of a path below a usual one': ['/chat/completions/of-another-kind', { model: 'm' }],
  'of a model no config lists': ['/chat/completions', { model: 'a/invented' }],
}
const ANSWERS: [number, object][] = [
  [401, { code: 'invalid_api_key' }],
  [403, { code: 'insufficient_quota' }],
  [429, { code: 'rate_limit_exceeded' }],
  [500, {}],
  [503, {}],
]

for (const [name, [path, body]] of Object.entries(ODD)) {
  t.test(`whatever upstream answers to a call ${name}`, async (t) => {
    const { upstreams, keys, call } = await setUpTwoKeys(t)
    for (const [status, error] of ANSWERS) {
      upstreams[0].answer((request, response) => {
        const isOdd =
          request.headers['x-odd'] !== undefined || request.url !== '/v1/chat/completions' || isInvented
        if (isOdd) json(response, { error }, status)
        else json(response, { from: 'a' })
      })
      let isInvented = path === '/chat/completions'
      await call(keys[0], path, body)
      isInvented = false
      t.equal(from(await call(keys[1])), 'a', `${status}: the other key is served as before`)
    }
  })
}

t.test(
  'a refusal or a failure of an ordinary call, which its headers or its size may have caused',
  async (t) => {
    const { upstreams, keys, call } = await setUpTwoKeys(t)
    for (const status of [401, 500, 502, 503]) {
      upstreams[0].answer((_, response) => json(response, { error: {} }, status))
      t.equal(from(await call(keys[0])), 'b')
      const before = upstreams[0].calls.length
      t.equal(from(await call(keys[0])), 'b')
      t.equal(upstreams[0].calls.length, before, 'it rests for the key that met it')
      upstreams[0].answer((_, response) => json(response, { from: 'a' }))
      t.equal(from(await call(keys[1])), 'a', `${status}: and for no other`)
    }
  },
)

t.test('a connection that upstream closes on one call', async (t) => {
  const { upstreams, keys, call } = await setUpTwoKeys(t)
  upstreams[0].answer((request, response) => {
    if (request.url === '/v1/chat/completions') json(response, { from: 'a' })
    else response.socket?.destroy()
  })
  await call(keys[0], '/kaputt')
  t.equal(from(await call(keys[1])), 'a')
})

t.test('a path that goes nowhere', async (t) => {
  const { broker, upstreams, keys, call } = await setUpTwoKeys(t)
  const body = '{"model":"m"}'
  const head = `POST /v1/..%2fkeys HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${keys[0]}\r\n`
  const json = `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  t.match(await rawExchange(broker.origin, head + json), /^HTTP\/1\.1 400 /)
  t.same(
    upstreams.map(({ calls }) => calls.length),
    [0, 0],
  )
  t.equal(from(await call(keys[0])), 'a', 'rests nobody, not even for the key itself')
})

for (const [status, error, name] of [
  [429, { code: 'rate_limit_exceeded' }, 'a rate limit'],
  [403, { code: 'insufficient_quota' }, 'a used up quota'],
] as const) {
  t.test(`${name} met by an ordinary call is everybody's: no other key need find out`, async (t) => {
    const { upstreams, keys, call } = await setUpTwoKeys(t)
    upstreams[0].answer((_, response) => json(response, { error }, status))
    t.equal(from(await call(keys[0])), 'b')
    t.equal(from(await call(keys[1])), 'b')
    t.equal(upstreams[0].calls.length, 1)
  })
}

t.test('so is an endpoint that nobody reaches', async (t) => {
  const { upstreams, keys, call } = await setUpTwoKeys(t)
  upstreams[0].server.close()
  upstreams[0].server.closeAllConnections()
  t.equal(from(await call(keys[0])), 'b')
  await new Promise<void>((resolve) => {
    upstreams[0].server.listen(Number(new URL(upstreams[0].origin).port), '127.0.0.1', resolve)
  })
  t.equal(from(await call(keys[1])), 'b', 'it rests')
})
