import t from 'tap'
import { onEachDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { complete, openScene } from './fixtures/refreshing.ts'

const many = <T>(count: number, call: () => Promise<T>) => Promise.all(Array.from({ length: count }, call))

onEachDatabase(t, 'a hundred callers at expiry cost one refresh', async (t, database) => {
  const { broker, complete, row } = await openScene(t, database, { expiresInMs: -1 })
  const answers = await many(100, complete)
  t.same([...new Set(answers.map((answer) => answer.status))], [200])
  t.match(broker.sandbox.counts, { refreshRequests: 1, refreshGrants: 1, reusesDetected: 0 })
  t.match(await row(), { oauth_version: 2, oauth_state: 'active' })
  const refreshes = broker.log.filter((line) => line.includes('"msg":"refresh"'))
  t.equal(refreshes.length, 1, 'within one process they do not even compete for the lease')
})

onEachDatabase(t, 'two brokers on one database cost one refresh', async (t, database) => {
  const { broker, key, replica } = await openScene(t, database, { expiresInMs: -1 })
  const other = await replica()
  broker.sandbox.faults.next('refresh', { delayMs: 300 })
  const answers = await Promise.all([
    many(50, () => complete(broker, key)),
    many(50, () => complete(other, key)),
  ])
  t.same([...new Set(answers.flat().map((answer) => answer.status))], [200])
  t.match(broker.sandbox.counts, { refreshRequests: 1, refreshGrants: 1, reusesDetected: 0 })
})

onEachDatabase(t, 'a newer token that another broker stored is adopted', async (t, database) => {
  const { broker, key, complete: completeHere, replica, lastBearer } = await openScene(t, database)
  const other = await replica()
  await completeHere()
  const newer = lastBearer()
  t.equal((await complete(other, key)).status, 200)
  t.equal(lastBearer(), newer)
  t.equal(broker.sandbox.counts.refreshRequests, 1)
})

onEachDatabase(t, 'a client that leaves does not cancel the refresh it set off', async (t, database) => {
  const { broker, key, row, complete } = await openScene(t, database, { expiresInMs: -1 })
  broker.sandbox.faults.next('refresh', { delayMs: 500 })
  const leaving = new AbortController()
  const call = fetch(`${broker.origin}/v1/models`, {
    headers: { authorization: `Bearer ${key}` },
    signal: leaving.signal,
  })
  await waitUntil(() => broker.sandbox.counts.refreshRequests === 1)
  leaving.abort()
  await t.rejects(call)
  t.match(await row(), { oauth_version: 2, oauth_state: 'active' })
  t.equal((await complete()).status, 200)
  t.equal(broker.sandbox.counts.refreshRequests, 1)
})

onEachDatabase(t, 'a refresh on demand and one that is due share one request', async (t, database) => {
  const { broker, configId, complete } = await openScene(t, database, { expiresInMs: -1 })
  broker.sandbox.faults.next('refresh', { delayMs: 200 })
  const path = `/api/models/configs/${configId}/refresh`
  const [item, answer] = await Promise.all([broker.admin('POST', path), complete()])
  t.equal(item.status, 200)
  t.equal(answer.status, 200)
  t.equal(broker.sandbox.counts.refreshRequests, 1)
})
