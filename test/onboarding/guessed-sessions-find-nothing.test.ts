import { randomBytes } from 'node:crypto'
import t from 'tap'
import { startScriptedServer } from '../oauth/fixtures/scripted-server.ts'
import { openStage } from '../seed/stage.ts'
import { call, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'

/** 100,000 take minutes: set GUESSES for that. */
const GUESSES = Number(process.env['GUESSES'] ?? 1_000)
const AT_ONCE = 50

onEachDatabase(t, 'ids and device codes that look right find nothing', async (t, db) => {
  const { broker, deviceCode, status, logIn } = await openStage(t, db)
  await deviceCode()
  await logIn()
  const statuses = new Map<number, number>()
  const guess = async (i: number) => {
    const query = i % 2 ? 'session_id' : 'device_code'
    const answer = await status(`${query}=${randomBytes(i % 2 ? 24 : 32).toString('base64url')}`)
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
  }
  for (let done = 0; done < GUESSES; done += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => guess(done + i)))
  }
  t.same(Object.fromEntries(statuses), { 400: GUESSES / 2, 404: GUESSES / 2 })
  t.equal(broker.sandbox.counts.devicePolls, 1, 'none of them reached the server')
})

onEachDatabase(
  t,
  'a device code that a server gives twice is the login of whoever had it first',
  async (t, db) => {
    const server = await startScriptedServer(t)
    const authorization_server = {
      device_authorization_endpoint: `${server.origin}/device`,
      token_endpoint: `${server.origin}/token`,
      client_id: 'c',
    }
    const p = {
      credential: 'device_code',
      authorization_server,
      upstream: { base_url: `${server.origin}/v1` },
    }
    const config = JSON.stringify({ allow_insecure_loopback: true, providers: { p } })
    const broker = await startBroker(t, { databaseUrl: db.url, config })
    const codes = { user_code: 'U', verification_uri: 'https://a.example/', expires_in: 600 }
    server.script({ body: { device_code: 'the-same-device-code', ...codes } })
    const start = () => call(`${broker.origin}/api/p/oauth/device-code`, 'POST')
    const first = await start()
    t.equal(first.status, 200)
    t.match(await start(), { status: 500, body: { code: 'device_authorization_failed' } })
    server.script({ status: 400, body: { error: 'authorization_pending' } })
    const status = `${broker.origin}/api/p/oauth/status?session_id=${first.body.session_id}`
    t.match(await call(status, 'GET'), { status: 200, body: { status: 'pending' } })
  },
)
