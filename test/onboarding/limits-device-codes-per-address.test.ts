import t, { type Test } from 'tap'
import { openStage } from '../seed/stage.ts'
import { call } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'

async function openLimited(t: Test, database: TestDatabase, env: Record<string, string> = {}) {
  const stage = await openStage(t, database, { env })
  const ask = async (headers: Record<string, string> = {}, provider = 'qwen') => {
    const url = `${stage.broker.origin}/api/${provider}/oauth/device-code?ip=${Math.random()}`
    const response = await fetch(url, { method: 'POST', headers })
    await response.text()
    return response.status
  }
  const askTimes = async (count: number, headers: (i: number) => Record<string, string>) => {
    const statuses: number[] = []
    for (let i = 0; i < count; i += 1) statuses.push(await ask(headers(i)))
    return statuses.filter((status) => status === 200).length
  }
  return { ...stage, ask, askTimes }
}

onEachDatabase(t, 'nothing a caller sends chooses its bucket', async (t, db) => {
  const { ask, askTimes } = await openLimited(t, db)
  const allowed = await askTimes(12, (i) => ({
    'x-forwarded-for': `10.0.0.${i}`,
    'x-real-ip': `10.0.0.${i}`,
    forwarded: `for=10.0.0.${i}`,
    'user-agent': `client ${i}`,
  }))
  t.equal(allowed, 10)
  t.equal(await ask({}, 'sandbox'), 429, 'nor does the provider')
})

onEachDatabase(
  t,
  "behind a trusted proxy the proxy's word counts, and no address further out",
  async (t, db) => {
    const { askTimes } = await openLimited(t, db, { TRUSTED_PROXIES: '127.0.0.0/8' })
    t.equal(await askTimes(12, () => ({ 'x-forwarded-for': '203.0.113.7' })), 10)
    t.equal(await askTimes(12, (i) => ({ 'x-forwarded-for': `203.0.113.${100 + i}` })), 12, 'each its own')
    const forged = await askTimes(12, (i) => ({ 'x-forwarded-for': `10.9.8.${i}, 203.0.113.9` }))
    t.equal(forged, 10, 'what the client wrote itself stands further left')
  },
)

onEachDatabase(t, 'a proxy that is not in the list is a caller like any other', async (t, db) => {
  const { askTimes } = await openLimited(t, db, { TRUSTED_PROXIES: '10.0.0.0/8' })
  t.equal(await askTimes(12, (i) => ({ 'x-forwarded-for': `203.0.113.${i}` })), 10)
})

onEachDatabase(t, 'the window slides: a call that is a minute old makes room for one', async (t, db) => {
  const { ask, askTimes, tables } = await openLimited(t, db)
  t.equal(await askTimes(11, () => ({})), 10)
  const row = await tables.run((db) => db.selectFrom('rate_counters').selectAll().executeTakeFirstOrThrow())
  const [oldest, ...others] = row.calls.split(',').map(Number)
  const calls = [Number(oldest) - 60_000, ...others].join(',')
  await tables.run((db) => db.updateTable('rate_counters').set({ calls }).execute())
  t.equal(await ask(), 200)
  t.equal(await ask(), 429, 'for one, not for ten')
})

onEachDatabase(t, 'addresses that have not called for a minute leave no row', async (t, db) => {
  const { broker, ask, tables, replica } = await openLimited(t, db, { TRUSTED_PROXIES: '127.0.0.1' })
  for (let i = 0; i < 3; i += 1) await ask({ 'x-forwarded-for': `203.0.113.${i}` })
  const buckets = () => tables.run((db) => db.selectFrom('rate_counters').select('bucket').execute())
  t.equal((await buckets()).length, 3)
  await tables.run((db) =>
    db
      .updateTable('rate_counters')
      .set({ expires_at: Date.now() - 1_000 })
      .execute(),
  )
  await ask({ 'x-forwarded-for': '203.0.113.9' })
  t.equal((await buckets()).length, 4, 'each broker looks once a minute')

  const other = await replica()
  await call(`${other.origin}/api/sandbox/oauth/device-code`, 'POST', {})
  await waitUntil(async () => (await buckets()).length === 2)
  t.match(await buckets(), [{ bucket: 'device-code:127.0.0.1' }, { bucket: 'device-code:203.0.113.9' }])
  t.equal(broker.sandbox.counts.deviceCodeRequests, 5)
})
