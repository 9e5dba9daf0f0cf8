/** A server with rotation that answers in ways of its own, and whole brokers on both databases. */
import t from 'tap'
import { fingerprint } from '../../src/credential/credential.ts'
import type { Fault } from '../../src/sandbox/faults.ts'
import { jwt } from '../oauth/fixtures/scripted-server.ts'
import { call } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { logIn, openScene } from './fixtures/refreshing.ts'

const NEXT = { access_token: 'next-access', refresh_token: 'next-refresh', expires_in: '3600' }
const LONGEST = 'r'.repeat(32_768)

const ANSWERS: Record<string, Fault & { refreshToken?: string }> = {
  'status 201, numbers as text': { status: 201, body: NEXT },
  'a byte order mark': {
    status: 200,
    body: `\ufeff${JSON.stringify(NEXT)}`,
    contentType: 'application/json',
  },
  'a form': {
    status: 200,
    body: new URLSearchParams(NEXT).toString(),
    contentType: 'application/x-www-form-urlencoded',
  },
  'tokens of the greatest length': {
    status: 200,
    body: { ...NEXT, access_token: 'a'.repeat(32_768), refresh_token: LONGEST },
    refreshToken: LONGEST,
  },
}

onEachDatabase(t, 'a rotated token is stored however its answer looks', async (t, db) => {
  const { broker, configId, row, setRow } = await openScene(t, db)
  const item = async () => (await broker.admin('GET', `/api/models/configs/${configId}`)).body.credential
  let version = 1
  for (const [shape, { refreshToken = NEXT.refresh_token, ...fault }] of Object.entries(ANSWERS)) {
    broker.sandbox.faults.next('refresh', fault)
    const answer = await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
    t.equal(answer.status, 200, shape)
    version += 1
    t.match(await row(), { oauth_state: 'active', oauth_version: version, last_error: null }, shape)
    const { fingerprint: shown, expires_at } = await item()
    t.equal(shown, fingerprint(refreshToken).slice(0, 16), shape)
    t.ok(expires_at > Date.now() + 3_000_000, shape)
    await setRow({ next_attempt_at: 0 })
  }
})

onEachDatabase(t, 'a login with two tokens of the greatest length is delivered and bound', async (t, db) => {
  const { broker } = await openScene(t, db)
  const tokens = { access_token: 'a'.repeat(32_768), refresh_token: LONGEST, expires_in: 3600 }
  const api = `${broker.origin}/api/sandbox/oauth`
  const { session_id } = (await call(`${api}/device-code`, 'POST', {})).body
  broker.sandbox.faults.next('token', { status: 200, body: tokens })
  const delivered = (await call(`${api}/status?session_id=${session_id}`, 'GET')).body
  const { access_token, refresh_token } = tokens
  t.match(delivered, { status: 'success', token: { access_token, refresh_token } })
  const again = (await call(`${api}/status?session_id=${session_id}`, 'GET')).body
  t.same(again, delivered, 'the session holds them')
  for (const [name, fields] of [
    ['by its session', { oauth_session_id: session_id }],
    ['by its tokens', { oauth_token: delivered.token }],
  ] as const) {
    const made = await broker.admin('POST', '/api/models/configs', {
      name,
      provider: 'sandbox',
      models: [],
      ...fields,
    })
    const shown = { state: 'active', fingerprint: fingerprint(LONGEST).slice(0, 16) }
    t.match(made, { status: 201, body: { credential: shown } }, name)
  }
})

onEachDatabase(
  t,
  'a rotated token that is too long is told, and the old access token serves on',
  async (t, db) => {
    const { broker, configId, complete, row, token, lastBearer } = await openScene(t, db)
    broker.sandbox.faults.next('refresh', { status: 200, body: { ...NEXT, refresh_token: `${LONGEST}r` } })
    t.equal((await complete()).status, 200)
    t.equal(lastBearer(), token.access_token)
    const why = /the refresh_token is 32769 characters long, more than 32768/
    t.match(await row(), { oauth_state: 'uncertain', oauth_version: 1, last_error: why })
    const path = `/api/models/configs/${configId}`
    t.match((await broker.admin('GET', path)).body.credential, { next_action: 'wait', reason: why })
    const { checks } = (await broker.admin('POST', `${path}/diagnose`)).body
    t.match(checks, [{}, {}, { name: 'refresh', ok: false, detail: why }])
    t.equal(broker.sandbox.counts.refreshRequests, 1, 'and it is not sent again')
  },
)

onEachDatabase(t, 'a lifetime that says nothing is no reason to refresh at every call', async (t, db) => {
  for (const expires_in of [0, '0', -3600]) {
    const { broker, complete, row } = await openScene(t, db)
    const { access_token, refresh_token } = await logIn(broker)
    broker.sandbox.faults.next(
      'refresh',
      { status: 200, body: { access_token, refresh_token, expires_in } },
      99,
    )
    for (let i = 0; i < 5; i += 1) t.equal((await complete()).status, 200)
    t.equal(broker.sandbox.counts.refreshRequests, 1, `expires_in of ${JSON.stringify(expires_in)}`)
    t.match(await row(), { oauth_state: 'active', oauth_expires_at: null })
    await broker.close()
  }
})

onEachDatabase(t, 'a JWT that is handed over without its end is refreshed before that', async (t, db) => {
  const issued = Math.floor(Date.now() / 1000) - 3_000
  const hourLong = (exp: number) => ({ access_token: jwt({ iat: issued, exp }), expires_at: undefined })
  const due = await openScene(t, db, { token: () => hourLong(issued + 3_100) })
  t.match(await due.row(), { oauth_expires_at: (issued + 3_100) * 1000, oauth_refreshed_at: issued * 1000 })
  t.equal((await due.complete()).status, 200)
  t.equal(due.broker.sandbox.counts.refreshGrants, 1)
  await due.broker.close()

  const { row } = await openScene(t, db, { token: () => hourLong(issued * 1000) })
  t.match(await row(), { oauth_expires_at: null }, 'an exp in milliseconds is none')
})
