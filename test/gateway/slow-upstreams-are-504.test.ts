import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { closeParts, startStorage } from '../../src/background.ts'
import { createLog } from '../../src/base/log.ts'
import { Secret } from '../../src/base/secret.ts'
import { addressOf, closeHttp, listen } from '../../src/http/listen.ts'
import { joinParts } from '../../src/parts.ts'
import { loadConfig } from '../../src/settings/config.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { TIMEOUTS, UpstreamPool } from '../../src/upstream/pool.ts'
import { ADMIN_TOKEN, call, startBroker } from '../support/broker.ts'
import { ask } from './fixtures/client.ts'
import { addConfig, addKey, json, startUpstream, strictConfig } from './fixtures/upstream.ts'

const PATIENCE_MS = 300
const BODY = { model: 'model-a', stream: true }

/** A broker that waits less long than real ones, between a client and an upstream of the test's own. */
async function setUpImpatient(t: Test) {
  const upstream = await startUpstream(t)
  const dir = t.testdir({ 'config.yaml': strictConfig(upstream.origin) })
  const env = { DATA_DIR: dir, PORT: '0', CONFIG_FILE: `${dir}/config.yaml` }
  const config = loadConfig(readSettings(env), env)
  const upstreams = new UpstreamPool({ ...TIMEOUTS, head: PATIENCE_MS, body: PATIENCE_MS })
  const parts = { ...joinParts(config, createLog('silent')), upstreams }
  const app = await buildApp(parts, new Secret(ADMIN_TOKEN), async () => '')
  await listen(app, config)
  t.teardown(async () => {
    await closeHttp(app, 0)
    await closeParts(parts)
  })
  await startStorage(parts)
  app.open()
  const origin = addressOf(app)
  const admin = (method: string, path: string, body?: unknown) =>
    call(origin + path, method, body, ADMIN_TOKEN)
  await addConfig({ admin }, { name: 'main', models: ['model-a'] })
  return { upstream, key: await addKey({ admin }), url: `${origin}/v1/chat/completions` }
}

t.test('no head in time: 504, and upstream is let go', async (t) => {
  const { upstream, key, url } = await setUpImpatient(t)
  const { promise: hungUp, resolve } = Promise.withResolvers<void>()
  upstream.answer((_, response) => response.once('close', resolve))
  const answer = await ask(url, { key, body: BODY })
  t.equal(answer.status, 504)
  t.match(JSON.parse(answer.body.toString()), {
    error: { code: 'upstream_timeout', type: 'server_error', param: null },
  })
  await hungUp
  t.equal(upstream.calls.length, 1, 'not sent again: it may have been worked on')
})

t.test('silence in the middle of a stream: an error event, and the cut', async (t) => {
  const { upstream, key, url } = await setUpImpatient(t)
  upstream.answer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  })
  const answer = await ask(url, { key, body: BODY })
  t.equal(answer.isWhole, false)
  t.match(answer.body.toString(), /^data: 1\n\n\n\nevent: error\ndata: \{"error":.*\}\n\n$/)
})

t.test('a stream may last as long as it likes while something comes', async (t) => {
  const { upstream, key, url } = await setUpImpatient(t)
  upstream.answer(async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let count = 0; count < 10; count += 1) {
      response.write('data: 1\n\n')
      await sleep(PATIENCE_MS / 3)
    }
    response.end()
  })
  t.equal((await ask(url, { key, body: BODY })).body.toString(), 'data: 1\n\n'.repeat(10))
})

t.test('a provider file says how long its upstream is waited for, others are not concerned', async (t) => {
  const upstream = await startUpstream(t)
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const base_url = `${upstream.origin}/v1`
  const deaf = `https://127.0.0.1:${(silent.address() as AddressInfo).port}/v1`
  const of = (url: string, timeouts?: object) => ({
    credential: 'api_key',
    upstream: { base_url: url, timeouts },
  })
  const providers = {
    head: of(base_url, { head_seconds: 0.3 }),
    idle: of(base_url, { idle_seconds: 0.3 }),
    connect: of(deaf, { connect_seconds: 0.3 }),
    patient: of(base_url),
  }
  const broker = await startBroker(t, {
    config: JSON.stringify({ allow_insecure_loopback: true, providers }),
  })
  const chat = async (provider: string) => {
    const id = await addConfig(broker, { name: provider, provider, models: ['model-a'] })
    const key = await addKey(broker, { model_config_ids: [id] })
    return ask(`${broker.origin}/v1/chat/completions`, { key, body: BODY })
  }
  t.equal((await chat('connect')).status, 504, 'no connection')
  const answers: (() => void)[] = []
  upstream.answer((_, response) => answers.push(() => json(response, {})))
  const patient = chat('patient')
  t.equal((await chat('head')).status, 504, 'no head')
  upstream.answer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  })
  t.match((await chat('idle')).body.toString(), /^data: 1\n\n\n\nevent: error/)
  for (const answer of answers) answer()
  t.equal((await patient).status, 200)
})

t.test('real brokers wait long enough for long completions', async (t) => {
  t.equal(TIMEOUTS.head, 600_000)
  t.equal(TIMEOUTS.body, 300_000)
})
