/** What a login link started ends in its config, or the page does not say so; and its tokens go nowhere else. */
import { sql } from 'kysely'
import t from 'tap'
import { die, linkOf, lookAt, press, startReceiver } from '../event/fixtures/receiver.ts'
import { call, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'

onEachDatabase(
  t,
  'a binding that fails after the approval is taken up at the next look',
  async (t, database) => {
    const receiver = await startReceiver(t)
    const broker = await startBroker(t, { databaseUrl: database.url, env: receiver.env })
    const tables = openTables(t, broker, database)
    const { configId } = await broker.connect()
    await die(broker, configId)
    const { code, page, id } = await press(await linkOf(receiver.deliveries))
    const status = () => call(`${broker.origin}/api/sandbox/oauth/status?session_id=${id}`, 'GET')
    const state = async () =>
      (await broker.admin('GET', `/api/models/configs/${configId}`)).body.credential.state
    const refuse =
      database.kind === 'MySQL'
        ? sql`create trigger refuse before update on model_configs for each row signal sqlstate '45000'`
        : sql`create trigger refuse before update on model_configs begin select raise(abort, 'refused'); end`
    await tables.run((db) => refuse.execute(db))
    t.same([(await status()).status], [404], 'unknown to /status while it waits')

    t.equal(await broker.sandbox.approve(code), true)
    for (let look = 0; look < 3; look += 1) {
      const answer = await lookAt(page)
      t.match(answer, { status: 200, body: /Approved, not stored yet/ })
      t.notMatch(answer.body, /Connected/)
      t.ok(Number(answer.headers.get('refresh')) > 0, 'the page looks again by itself')
      const asked = await status()
      t.equal(asked.status, 404)
      t.notMatch(JSON.stringify(asked.body), /token/)
    }
    t.equal(await state(), 'reauth_required')
    const events = await call(`${broker.origin}/api/sandbox/oauth/events?session_id=${id}`, 'GET')
    t.equal(events.status, 404, 'nor to /events')
    const stolen = await broker.admin('POST', '/api/models/configs', {
      ...{ name: 'other', provider: 'sandbox', models: [] },
      oauth_session_id: id,
    })
    t.equal(stolen.status, 404, 'nor can another config have it')

    await tables.run((db) => sql`drop trigger refuse`.execute(db))
    t.match(await lookAt(page), { status: 200, body: /Connected/ })
    t.equal(await state(), 'active')
    t.equal((await status()).status, 404, 'nor afterwards')
    t.equal((await broker.admin('POST', `/api/models/configs/${configId}/refresh`)).status, 200)
    t.equal(broker.sandbox.counts.reusesDetected, 0)
  },
)

onEachDatabase(t, 'a session that the console bound is gone for /status', async (t, database) => {
  const broker = await startBroker(t, { databaseUrl: database.url })
  const started = await call(`${broker.origin}/api/sandbox/oauth/device-code`, 'POST', {})
  const { session_id, device_code, user_code } = started.body
  await broker.sandbox.approve(user_code)
  const status = (query: string) => call(`${broker.origin}/api/sandbox/oauth/status?${query}`, 'GET')
  t.match(await status(`session_id=${session_id}`), { status: 200, body: { status: 'success' } })
  const made = { name: 'mine', provider: 'sandbox', models: [], oauth_session_id: session_id }
  t.equal((await broker.admin('POST', '/api/models/configs', made)).status, 201)
  t.equal((await status(`session_id=${session_id}`)).status, 404)
  t.equal((await status(`device_code=${device_code}`)).status, 400)
})
