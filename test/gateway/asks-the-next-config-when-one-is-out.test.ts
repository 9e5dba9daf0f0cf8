/** Failover over a key's configs: only before the first byte, in the key's order, for answers that are reasons. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Cooldowns } from '../../src/gateway/cooldowns.ts'
import { startBroker } from '../support/broker.ts'
import { waitUntil } from '../support/wait-until.ts'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, type Handler, json, startUpstream, type Upstream } from './fixtures/upstream.ts'

interface Trio {
  readonly upstreams: readonly [Upstream, Upstream, Upstream]
  readonly ids: string[]
  call(model?: string, body?: object, signal?: AbortSignal): ReturnType<typeof ask>
}

/** One key over the configs a, b and c, each with an upstream of its own that says who it is. */
async function setUpTrio(t: Test): Promise<Trio> {
  const upstreams = [await startUpstream(t), await startUpstream(t), await startUpstream(t)] as const
  const names = ['a', 'b', 'c'] as const
  const files = upstreams.map(
    ({ origin }, i) => `  p-${names[i]}: { credential: api_key, upstream: { base_url: "${origin}/v1" } }`,
  )
  const broker = await startBroker(t, {
    config: `allow_insecure_loopback: true\nproviders:\n${files.join('\n')}\n`,
  })
  const ids: string[] = []
  for (const [i, name] of names.entries()) {
    upstreams[i]?.answer((_, response) => json(response, { from: name }))
    ids.push(await addConfig(broker, { name, provider: `p-${name}`, models: ['m'] }))
  }
  const key = await addKey(broker, { model_config_ids: ids })
  const call = (model = 'm', more: object = {}, signal?: AbortSignal) =>
    ask(`${broker.origin}/v1/chat/completions`, { key, body: { model, ...more }, ...(signal && { signal }) })
  return { upstreams, ids, call }
}

const from = (answer: Awaited<ReturnType<typeof ask>>) => JSON.parse(answer.body.toString()).from

t.test('the first config of the key answers while it can', async (t) => {
  const { call, upstreams } = await setUpTrio(t)
  for (let i = 0; i < 5; i += 1) t.equal(from(await call()), 'a')
  t.same(
    upstreams.map(({ calls }) => calls.length),
    [5, 0, 0],
  )
})

const REASONS: [string, number, object, Record<string, string>?][] = [
  ['429', 429, { error: { code: 'rate_limit_exceeded' } }, { 'retry-after': '60' }],
  ['quota at 403', 403, { error: { code: 'insufficient_quota' } }],
  ['a free quota and nothing else', 403, { error: { code: 'AllocationQuota.FreeTierOnly' } }],
  ['the same, as its own API has it', 403, { code: 'AllocationQuota.FreeTierOnly', message: 'x' }],
  ['arrears', 400, { error: { code: 'Arrearage', type: 'Arrearage' } }],
  ['402', 402, { error: { message: 'Insufficient Balance' } }],
  ['500', 500, { error: {} }],
  ['503', 503, { error: {} }],
  ['a refused key', 401, { error: { code: 'invalid_api_key' } }],
]

for (const [name, status, body, headers = {}] of REASONS) {
  t.test(`${name} is a reason to ask the next one, and to leave the first alone for a while`, async (t) => {
    const { call, upstreams } = await setUpTrio(t)
    upstreams[0].answer((_, response) =>
      response
        .writeHead(status, { 'content-type': 'application/json', ...headers })
        .end(JSON.stringify(body)),
    )
    const answer = await call()
    t.equal(from(answer), 'b')
    t.match(
      answer.headers['x-token-broker-trace'],
      new RegExp(`^config=b; attempt=2; .*failover=a%3A${status}$`),
    )
    t.equal(from(await call()), 'b')
    t.equal(upstreams[0].calls.length, 1, 'it rests')
  })
}

t.test('other refusals are the client’s own, and passed on', async (t) => {
  const { call, upstreams } = await setUpTrio(t)
  for (const [status, code, message] of [
    [400, 'invalid_parameter_error', 'not a role: "code":"Arrearage"'],
    [403, 'forbidden', 'you wrote: quota_exceeded, "code": "insufficient_quota"'],
    [404, 'model_not_found', 'x'],
  ] as const) {
    upstreams[0].answer((_, response) => json(response, { error: { message, code } }, status))
    const answer = await call()
    t.equal(answer.status, status)
    t.equal(JSON.parse(answer.body.toString()).error.code, code, 'with the whole body')
  }
  t.equal(upstreams[1].calls.length, 0)
})

t.test('a dead endpoint is passed over; when all are out the last one’s answer comes back', async (t) => {
  const { call, upstreams } = await setUpTrio(t)
  upstreams[0].server.close()
  upstreams[0].server.closeAllConnections()
  t.equal(from(await call()), 'b')
  for (const upstream of upstreams.slice(1)) {
    upstream.answer((_, response) => json(response, { error: { code: 'quota_exceeded' } }, 429))
  }
  t.equal((await call()).status, 429)
  upstreams[1].answer((_, response) => json(response, { from: 'b again' }))
  t.equal(from(await call()), 'b again', 'configs that rest are asked if nobody else can answer')
})

t.test('a config named in the model is the only one asked', async (t) => {
  const { call, upstreams } = await setUpTrio(t)
  upstreams[1].answer((_, response) => json(response, { error: {} }, 500))
  t.equal((await call('b/m')).status, 500)
  t.equal(upstreams[2].calls.length, 0)
})

t.test('after the first byte nothing is asked again', async (t) => {
  const { call, upstreams } = await setUpTrio(t)
  upstreams[0].answer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"n":1}\n\n')
    setTimeout(() => response.destroy(), 20)
  })
  const answer = await call('m', { stream: true })
  t.match(answer.body.toString(), /^data: \{"n":1\}\n\n[\s\S]*event: error/)
  t.equal(upstreams[1].calls.length, 0)
})

for (const dying of [
  [0, 1],
  [0, 2],
  [1, 2],
] as const) {
  t.test(`a key over three configs survives the death of ${dying} in mid-load`, async (t) => {
    const { call, upstreams } = await setUpTrio(t)
    const answers: string[] = []
    const caller = async () => {
      for (let i = 0; i < 40; i += 1) {
        const { status, isWhole } = await call('m', { stream: true })
        answers.push(`${status} ${isWhole}`)
      }
    }
    const callers = Promise.all(Array.from({ length: 8 }, caller))
    const [first, second] = dying.map((index) => upstreams[index] as Upstream)
    await waitUntil(() => answers.length > 60)
    first?.server.close()
    first?.server.closeAllConnections()
    await waitUntil(() => answers.length > 120)
    second?.answer((_, response) => json(response, { error: {} }, 503))
    await callers
    t.same(new Set(answers), new Set(['200 true']))
    t.equal(answers.length, 320)
  })
}

t.test('an alias is another name for a model, where the config says so', async (t) => {
  const upstream = await startUpstream(t)
  const file = `  p: { credential: api_key, upstream: { base_url: "${upstream.origin}/v1" } }`
  const broker = await startBroker(t, { config: `allow_insecure_loopback: true\nproviders:\n${file}\n` })
  upstream.answer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    json(response, { body: text })
  })
  const aliases = { 'gpt-4o': 'qwen3-coder-plus' }
  const id = await addConfig(broker, { name: 'q', provider: 'p', models: ['qwen3-coder-plus'], aliases })
  const key = await addKey(broker, { model_config_ids: [id] })
  const call = (model: string) => ask(`${broker.origin}/v1/chat/completions`, { key, body: { model, n: 1 } })
  t.equal(JSON.parse((await call('gpt-4o')).body.toString()).body, '{"model":"qwen3-coder-plus","n":1}')
  t.same((await broker.admin('GET', `/api/models/configs/${id}`)).body.aliases, aliases)
})

const HINTS: [string, Record<string, string>][] = [
  ['Retry-After', { 'retry-after': '1' }],
  ['a reset header', { 'x-ratelimit-reset-requests': '300ms', 'x-ratelimit-reset-tokens': '1s' }],
]

for (const [name, headers] of HINTS) {
  t.test(
    `${name} says how long a config rests; then one call tries it while others go elsewhere`,
    async (t) => {
      const { call, upstreams } = await setUpTrio(t)
      const [a] = upstreams
      let refusedAt = 0
      a.answer((_, response) => {
        refusedAt = performance.now()
        response.writeHead(429, headers).end()
      })
      t.equal(from(await call()), 'b')
      const passedOverAt = performance.now()

      const tried = Promise.withResolvers<number>()
      const probed = Promise.withResolvers<void>()
      a.answer(async (_, response) => {
        tried.resolve(performance.now())
        await Promise.race([probed.promise, sleep(10_000)])
        json(response, { from: 'a' })
      })
      let sentAt = performance.now()
      let lastElsewhereAt = sentAt
      let probe = call()
      while (await Promise.race([probe, tried.promise.then(() => undefined)])) {
        lastElsewhereAt = sentAt
        await sleep(10)
        sentAt = performance.now()
        probe = call()
      }
      const rested = (await tried.promise) - refusedAt
      t.ok(rested > 990 && a.calls.length === 2, `not sooner: ${Math.round(rested)} ms`)
      const late = lastElsewhereAt - passedOverAt
      t.ok(late < 1_050, `nor later: the last call that went elsewhere was sent after ${Math.round(late)} ms`)
      const others = await Promise.all([call(), call(), call()])
      t.same(others.map(from), ['b', 'b', 'b'])
      probed.resolve()
      t.equal(from(await probe), 'a')
      t.equal(from(await call()), 'a', 'it is back')
    },
  )
}

t.test('a resting config lets one probe through when its time is over', async (t) => {
  const cooldowns = new Cooldowns()
  cooldowns.pause('x', undefined, 1_000, 0)
  t.equal(cooldowns.isAvailable('x', 'k', 999), false)
  t.equal(cooldowns.isAvailable('x', 'k', 1_000), true)
  t.equal(cooldowns.isAvailable('x', 'k', 1_000), true, 'a call that goes elsewhere in the end is no probe')
  cooldowns.trying('x', 'k', 1_000)
  t.equal(cooldowns.isAvailable('x', 'k', 1_001), false, 'others wait for the probe')
  t.equal(cooldowns.isAvailable('x', 'k', 31_000), true, 'but not for ever')
  cooldowns.resume('x', 'k')
  t.equal(cooldowns.isAvailable('x', 'k', 31_002), true)
  cooldowns.pause('y', undefined, 30 * 86_400_000, 0)
  t.equal(cooldowns.isAvailable('y', 'k', 600_000), true, 'never days because of one answer')
})

t.test('a client that leaves lets go of the answer that was passed over, too', async (t) => {
  const { call, upstreams } = await setUpTrio(t)
  const open = new Set<string>()
  const endless =
    (name: string, status: number): Handler =>
    (_, response) => {
      open.add(name)
      response.once('close', () => open.delete(name))
      response.writeHead(status, { 'content-type': 'text/plain' }).write('x'.repeat(200_000))
    }
  upstreams[0].answer(endless('a', 429))
  upstreams[1].answer(() => open.add('b')) // and says nothing
  const leaving = new AbortController()
  const left = call('m', {}, leaving.signal)
  await waitUntil(() => open.has('a') && open.has('b'))
  leaving.abort()
  await t.rejects(left)
  await waitUntil(() => !open.has('a'))
})

t.test('so it does while that answer is passed on, because nobody had a better one', async (t) => {
  const { call, upstreams } = await setUpTrio(t)
  let isOpen = false
  upstreams[0].answer((_, response) => {
    isOpen = true
    response.once('close', () => {
      isOpen = false
    })
    response.writeHead(429, { 'content-type': 'text/plain' }).write('x'.repeat(200_000))
  })
  for (const { answer } of upstreams.slice(1)) answer((_, response) => response.socket?.destroy())
  const leaving = new AbortController()
  const relayed = call('m', {}, leaving.signal)
  await waitUntil(() => isOpen)
  await sleep(300)
  leaving.abort()
  await relayed.catch(() => undefined)
  await waitUntil(() => !isOpen)
})
