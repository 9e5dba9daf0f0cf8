/**
 * Tokens that may be asked for again: one call a round for all replicas, none of them held up by a holder that is gone or
 * by a journal, and without a database each helps itself.
 */
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import type { Broker } from '../support/broker.ts'
import { onEachDatabase, onMysql } from '../support/databases.ts'
import { STREAMED } from '../support/strict-token-endpoint.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'
import { openTokenCalls, streamed } from './fixtures/token-calls.ts'

const ROUNDS = 3
const CALLERS = 100

onEachDatabase(t, 'three brokers, a hundred callers each: one call a round', async (t, database) => {
  const { endpoint, broker, key, complete, replica, configId } = await openTokenCalls(t, database)
  endpoint.answerMs = 100
  const brokers = [broker, await replica(), await replica()]
  const tables = openTables(t, broker, database)
  for (let round = 1; round <= ROUNDS; round += 1) {
    const callers = Array.from({ length: CALLERS }, () => brokers.map((one) => complete(one))).flat()
    const statuses = (await Promise.all(callers)).map(({ status }) => status)
    t.same([...new Set(statuses)], [200])
    t.equal(endpoint.asked, round)
    const ended = { oauth_expires_at: Date.now() - 1 }
    await tables.run((db) => db.updateTable('model_configs').set(ended).where('id', '=', configId).execute())
    const path = `/api/models/configs/${configId}/status?is_active=true`
    for (const one of brokers) await one.admin('PATCH', path) // each forgets what it had
  }
  t.same(await streamed(broker, key), STREAMED)
  t.same(endpoint.complaints, [])
  const stored = () =>
    tables.run((db) =>
      db
        .selectFrom('model_configs')
        .select('oauth_version')
        .where('id', '=', configId)
        .executeTakeFirstOrThrow(),
    )
  await waitUntil(async () => (await stored()).oauth_version === endpoint.asked + 1)
})

onEachDatabase(t, 'a holder that is gone holds nobody up for longer than its lease', async (t, database) => {
  const { broker, configId, complete, endpoint } = await openTokenCalls(t, database)
  await openTables(t, broker, database).run((db) =>
    db
      .updateTable('model_configs')
      .set({
        oauth_state: 'refreshing',
        lease_owner: 'gone',
        attempt_id: 'gone',
        lease_until: Date.now() - 1,
      })
      .where('id', '=', configId)
      .execute(),
  )
  endpoint.fault = { status: 503 }
  t.equal((await complete()).status, 503)
  t.match(
    await openTables(t, broker, database).run((db) =>
      db
        .selectFrom('model_configs')
        .select(['oauth_state', 'attempt_id', 'lease_until'])
        .where('id', '=', configId)
        .executeTakeFirst(),
    ),
    { oauth_state: 'active', attempt_id: null, lease_until: 0 },
  )
})

t.test('a journal that cannot be written holds up nothing', async (t) => {
  const { broker, complete } = await openTokenCalls(t, { kind: 'SQLite', url: 'sqlite:' })
  const journal = join(broker.dataDir, 'journal')
  rmSync(journal, { recursive: true, force: true })
  writeFileSync(journal, '')
  chmodSync(journal, 0o400)
  t.equal((await complete()).status, 200)
})

onMysql(
  t,
  'without a database each asks for itself, and it is stored when there is one',
  async (t, database) => {
    const proxy = await TcpProxy.to(database.url)
    t.teardown(() => proxy.close())
    const calls = await openTokenCalls(t, database, { via: proxy.via(database.url) })
    const { endpoint, broker, complete, replica, row } = calls
    const brokers: Broker[] = [broker, await replica(), await replica()]
    endpoint.lifetimeSeconds = 2
    for (const one of brokers) t.equal((await complete(one)).status, 200)
    proxy.drop()
    const askedBefore = endpoint.asked
    const until = Date.now() + 12_000
    const answers = new Map<string, number>()
    const callers = brokers.map(async (one) => {
      while (Date.now() < until) {
        const { status, body } = await complete(one)
        const answer = status === 200 ? '200' : `${status} ${JSON.stringify(body)}`
        answers.set(answer, (answers.get(answer) ?? 0) + 1)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })
    await Promise.all(callers)
    t.same([...answers.keys()], ['200'], JSON.stringify([...answers]))
    t.ok(endpoint.asked >= askedBefore + 6, `${endpoint.asked - askedBefore} calls of three brokers in 12 s`)
    const { oauth_version: before } = await row()
    proxy.heal('late')
    await waitUntil(async () => {
      const { oauth_state, oauth_version } = await row()
      return oauth_state === 'active' && oauth_version > before
    })
    for (const one of brokers) t.equal((await complete(one)).status, 200)
  },
)
