import t, { type Test } from 'tap'
import { sessionsAt, sessionToken, startOpenWebUi } from '../seed/open-webui.ts'
import { startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** A config whose session has two days left: it is due. */
async function openSession(t: Test, database: TestDatabase, renewsForDays = 7) {
  const server = await startOpenWebUi(t, renewsForDays)
  const broker = await startBroker(t, {
    databaseUrl: database.url,
    config: sessionsAt(server),
  })
  const token = sessionToken(2)
  const fields = { name: 'session', provider: 'open-webui', models: [{ model_id: 'm' }] }
  const oauth_token = { access_token: token }
  const created = await broker.admin('POST', '/api/models/configs', { ...fields, oauth_token })
  const path = `/api/models/configs/${created.body.id}`
  const tables = openTables(t, broker, database)
  return {
    server,
    token,
    refresh: () => broker.admin('POST', `${path}/refresh`),
    logIn: (again: string) => broker.admin('PUT', path, { oauth_token: { access_token: again } }),
    item: async () => (await broker.admin('GET', path)).body.credential,
    diagnose: async () => (await broker.admin('POST', `${path}/diagnose`)).body,
    row: () => tables.run((db) => db.selectFrom('model_configs').selectAll().executeTakeFirstOrThrow()),
  }
}

const limited = (retryAfter: string, status = 429) => ({
  status,
  body: '{"detail":"slow down"}',
  headers: { 'retry-after': retryAfter },
})

onEachDatabase(t, 'a session server that asks for more time than a pause gets it', async (t, db) => {
  const { server, refresh, item, row, logIn } = await openSession(t, db)
  const inAnHour = new Date(Date.now() + 60 * MINUTE).toUTCString()
  const asked: [ReturnType<typeof limited>, number][] = [
    [limited('600'), 10 * MINUTE],
    [limited('1800', 503), 30 * MINUTE],
    [limited(inAnHour), 60 * MINUTE],
    [limited('864000'), 60 * MINUTE], // ten days: the session would be over by then
  ]
  for (const [i, [mishap, waitMs]] of asked.entries()) {
    const what = `${mishap.status}, Retry-After: ${mishap.headers['retry-after']}`
    server.mishaps.push(mishap)
    t.equal((await refresh()).status, 503, what)
    t.equal(server.renewals.length, i + 1, `${what}: it was asked once`)
    await waitUntil(async () => (await row()).oauth_state === 'active')
    const left = Number((await row()).next_attempt_at) - Date.now()
    t.ok(left > waitMs - 2 * MINUTE && left <= waitMs + MINUTE, `${what}: ${left} ms`)
    t.match(await item(), { state: 'cooling_down', next_action: 'wait', reason: /^status (429|503)/ }, what)
    await logIn(sessionToken(2))
  }
})

onEachDatabase(t, 'a session that its server does not extend asks for a login at once', async (t, db) => {
  const { server, token, refresh, item, diagnose, logIn, row } = await openSession(t, db, 0)
  t.match(await item(), { state: 'active', next_action: 'none', reason: null })
  t.match(await refresh(), { status: 409, body: { code: 'session_not_extended' } })
  t.equal(server.renewals.length, 1)
  await waitUntil(async () => (await row()).oauth_state === 'active')
  const unmoved = /same token and the same expiry/
  t.match(await item(), { state: 'cooling_down', next_action: 'login', reason: unmoved })
  t.ok(Number((await row()).next_attempt_at) - Date.now() > 0.9 * DAY, 'and it is looked at again in a day')
  t.match(
    (await diagnose()).checks.find(({ name }: { name: string }) => name === 'refresh'),
    {
      ok: false,
      detail: unmoved,
    },
  )
  t.same([...new Set(server.completions)], [token], 'it serves to its end')
  t.match((await logIn(sessionToken(6))).body.credential, { next_action: 'none', reason: null })
})
