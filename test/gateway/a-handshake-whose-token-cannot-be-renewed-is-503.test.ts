/** As for any other call: the client of a WebSocket is told to come back, not to give up. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { noteChange } from '../../src/storage/changes.ts'
import { login, startBroker } from '../support/broker.ts'
import { openTables } from '../support/tables.ts'
import { answerTo, connect } from './fixtures/realtime.ts'
import { TROUBLES } from './fixtures/troubles.ts'
import { addKey, startUpstream } from './fixtures/upstream.ts'

/** Long enough for the token that it refuses to be stored. */
const REFUSES_AFTER_MS = 500

/** Logins at the sandbox, whose tokens a realtime endpoint of the test's own refuses. */
async function refusedRealtime(t: Test, refresh: object = {}) {
  const upstream = await startUpstream(t)
  let asked = 0
  upstream.server.on('upgrade', async (_, socket) => {
    asked += 1
    socket.on('error', () => {})
    await sleep(REFUSES_AFTER_MS)
    socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n')
  })
  const provider = {
    credential: 'device_code',
    authorization_server: {
      device_authorization_endpoint: '{sandbox}/oauth/device/code',
      token_endpoint: '{sandbox}/oauth/token',
      client_id: 'token-broker-sandbox',
      scope: 'openid model.completion',
    },
    upstream: { base_url: `${upstream.origin}/v1` },
    refresh,
  }
  const broker = await startBroker(t, {
    config: JSON.stringify({ allow_insecure_loopback: true, providers: { own: provider } }),
    sandbox: { accessTokenSeconds: 3_600 },
  })
  const oauth_session_id = await login(broker, 'own')
  const models = [{ model_id: 'model-a' }]
  await broker.admin('POST', '/api/models/configs', {
    name: 'own',
    provider: 'own',
    models,
    oauth_session_id,
  })
  const key = await addKey(broker)
  const handshake = () => answerTo(connect({ v1: `${broker.origin}/v1`, key }))
  return { broker, handshake, asked: () => asked }
}

for (const [name, fault] of Object.entries(TROUBLES)) {
  t.test(`a WebSocket's handshake, and an authorization server that ${name}`, async (t) => {
    const { broker, handshake, asked } = await refusedRealtime(t)
    broker.sandbox.faults.next('refresh', fault, 50)
    for (const which of ['first', 'next']) {
      const { status, body, headers } = await handshake()
      t.equal(status, 503, which)
      t.equal(JSON.parse(body).error.code, 'refresh_unavailable')
      const seconds = Number(headers['retry-after'])
      t.ok(seconds >= 1 && seconds <= 60, `Retry-After: ${headers['retry-after']}`)
    }
    t.equal(asked(), 2, 'upstream is asked with the token there is, once each time')
    t.ok(broker.sandbox.counts.refreshRequests <= 2, 'not a refresh a handshake')
  })
}

t.test("a WebSocket's handshake waits 12 s in all, for two refreshes that hang", async (t) => {
  const { broker, handshake, asked } = await refusedRealtime(t, { timeout_seconds: 13 })
  broker.sandbox.faults.next('refresh', { delayMs: 10_000 })
  broker.sandbox.faults.next('refresh', { hang: true }, 50)
  await openTables(t, broker, { kind: 'SQLite', url: 'sqlite:' }).transaction(async (trx) => {
    await trx
      .updateTable('model_configs')
      .set({ oauth_expires_at: Date.now() - 1 })
      .where('name', '=', 'own')
      .execute()
    await noteChange(trx)
  })
  await sleep(2_000) // a broker hears of changes within a second
  const startedAt = performance.now()
  t.equal((await handshake()).status, 503)
  const ms = performance.now() - startedAt
  t.equal(asked(), 1, 'with what the first refresh brought')
  t.ok(ms < 20_000, `${Math.round(ms)} ms`) // each its own 12 s: 22 s
})
