import t from 'tap'
import { ADMIN_TOKEN, call, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openEvents } from '../support/event-source.ts'

const authorization = { authorization: `Bearer ${ADMIN_TOKEN}` }

onEachDatabase(
  t,
  'keys, configs and the life of credentials, without a single secret',
  async (t, { url }) => {
    const broker = await startBroker(t, { databaseUrl: url })
    const { configId } = await broker.connect()
    const live = await openEvents(`${broker.origin}/api/live`, authorization)
    t.teardown(() => live.close())
    t.same(await live.next(), { event: 'message', data: { kind: 'hello' } })

    await broker.admin('POST', '/api/keys', { name: 'another' })
    t.same((await live.next())?.data, { kind: 'changed' })

    t.equal((await broker.admin('POST', `/api/models/configs/${configId}/refresh`)).status, 200)
    let event = await live.next()
    while (event?.data.kind === 'changed') event = await live.next()
    t.same(event?.data, { kind: 'credential', config_id: configId, type: 'credential.refreshed' })

    await broker.sandbox.revokeFamilies()
    await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
    event = await live.next()
    while (event?.data.kind === 'changed') event = await live.next()
    t.same(event?.data, { kind: 'credential', config_id: configId, type: 'credential.reauth_required' })

    const audit = await broker.admin('GET', '/api/audit?type=credential')
    t.match(audit.body, {
      total: 2,
      page: 1,
      items: [
        { type: 'credential.reauth_required', config_id: configId, config_name: 'practice' },
        { type: 'credential.refreshed' },
      ],
    })
    const second = await broker.admin(
      'GET',
      `/api/audit?type=credential&page=2&page_size=1&config_id=${configId}`,
    )
    t.match(second.body, { total: 2, items: [{ type: 'credential.refreshed' }] })
    t.equal((await broker.admin('GET', '/api/audit?config_id=unknown')).body.total, 0)
  },
)

t.test('nobody listens without the admin token, and the broker stops while somebody does', async (t) => {
  const broker = await startBroker(t)
  for (const path of ['/api/live', '/api/audit', '/api/usage']) {
    t.equal((await call(broker.origin + path, 'GET')).status, 401, path)
  }
  const live = await openEvents(`${broker.origin}/api/live`, authorization)
  await live.next()
  const startedAt = Date.now()
  await broker.app.close(60_000)
  t.ok(Date.now() - startedAt < 40_000)
  t.equal(await live.next(), undefined)
})
