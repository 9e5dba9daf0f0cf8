import t from 'tap'
import { strictConfig } from '../gateway/fixtures/upstream.ts'
import { startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import {
  BOOKED,
  invent,
  LISTED,
  MAX_ROWS,
  seriesIn,
  settle,
  startEndpoint,
  WAYS,
} from './fixtures/inventing-client.ts'

const EACH = 40

onEachDatabase(t, 'however a call names them, and whatever comes of it', async (t, database) => {
  const endpoint = await startEndpoint(t)
  const broker = await startBroker(t, { databaseUrl: database.url, config: strictConfig(endpoint) })
  const client = await settle(broker, 'strict')
  const metrics = async () => (await broker.admin('GET', '/metrics')).body as string
  for (const way of Object.keys(WAYS)) await invent(client, way, 1)
  const series = seriesIn(await metrics())

  for (const way of Object.keys(WAYS)) {
    const statuses = await invent(client, way, EACH)
    t.equal(statuses.size, 1, `${way}: ${[...statuses.keys()]}`)
  }
  await broker.admin('GET', '/api/usage') // what was counted so far is written
  const rows = await openTables(t, broker, database).run((db) =>
    db.selectFrom('usage_hourly').select(['model', 'requests']).execute(),
  )
  t.same(
    rows.filter(({ model }) => !BOOKED.includes(model)),
    [],
  )
  t.ok(rows.length <= MAX_ROWS, `${rows.length} rows`)
  t.notOk(rows.some(({ model }) => LISTED.includes(model)))
  const booked = rows.reduce((sum, { requests }) => sum + Number(requests), 0)
  // One way reaches no account at all; each of two WebSockets is two calls, its handshake and its answer.
  t.equal(booked, (Object.keys(WAYS).length - 1 + 2) * (EACH + 1))
  const after = await metrics()
  t.same(seriesIn(after).sort(), series.sort(), 'and no series')
  t.notMatch(after, /made-up/)
})
