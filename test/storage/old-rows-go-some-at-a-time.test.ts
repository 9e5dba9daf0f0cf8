/**
 * Everything that is kept for a while only: all of it goes when its time is over, by statements that are small, and
 * others write meanwhile.
 */
import type { KyselyPlugin } from 'kysely'
import t, { type Test } from 'tap'
import { EndedSessions } from '../../src/admin/ended-sessions.ts'
import { RotatedKeys } from '../../src/api-key/rotated-keys.ts'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { createLog } from '../../src/base/log.ts'
import { Secret } from '../../src/base/secret.ts'
import { AuditTrim } from '../../src/event/audit-trim.ts'
import { DeviceSessionStore } from '../../src/onboarding/device-session-store.ts'
import { COMMAND_LINE } from '../../src/storage/audit-log.ts'
import type { Database } from '../../src/storage/database.ts'
import { inBatches } from '../../src/storage/in-batches.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { RateCounters } from '../../src/storage/rate-counters.ts'
import type { Tables } from '../../src/storage/tables.ts'
import { UsageStore } from '../../src/usage/usage-store.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { SEALS } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'
import { open } from './fixtures/open.ts'

const BATCH = 1_000
const MANY = 25_000
const DAY = 86_400_000
const NOW = 500 * DAY
const HOUR = 3_600_000

/** A database, and how many rows each statement changed. */
async function setUp(t: Test, where: TestDatabase) {
  const dir = t.testdir()
  const plain = open(t, where, dir)
  await migrate(plain)
  const changed: number[] = []
  const recorder: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      if (result.numAffectedRows) changed.push(Number(result.numAffectedRows))
      return result
    },
  }
  const database: Database = {
    ...plain,
    nowMs: plain.nowMs,
    run: (work) => plain.run((db) => work(db.withPlugin(recorder))),
    transaction: (work) => plain.run((db) => db.withPlugin(recorder).transaction().execute(work)),
  }
  const left = async (table: keyof Tables) => {
    const { count } = await plain.run((db) =>
      db
        .selectFrom(table)
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow(),
    )
    return Number(count)
  }
  const fill = async <Row>(table: keyof Tables, count: number, row: (n: number) => Row) => {
    for (let from = 0; from < count; from += BATCH) {
      const rows = Array.from({ length: Math.min(BATCH, count - from) }, (_, n) => row(from + n))
      await plain.run((db) =>
        db
          .insertInto(table)
          .values(rows as never)
          .execute(),
      )
    }
  }
  const replica = () => open(t, where, dir)
  return { plain, database, changed, left, fill, replica }
}

function usageRow(n: number, hour = (n % 7) * HOUR) {
  const counts = { requests: 1, errors: 0, prompt_tokens: 0, completion_tokens: 0 }
  return { hour, key_id: `key-${n % 5}`, config_id: `config-${n}`, model: 'm', ...counts }
}

function auditRow(n: number, at = n) {
  return { id: `old-${n}`, type: 'config.updated', actor: 'system', count: 1, created_at: at, last_at: at }
}

onEachDatabase(t, 'usage, while others count', async (t, where) => {
  const { plain, database, changed, left, fill } = await setUp(t, where)
  await fill('usage_hourly', MANY, usageRow)
  const [store, other] = [new UsageStore(database), new UsageStore(plain)]
  let isDone = false
  const done = inBatches((limit) => store.deleteSomeBefore(10 * HOUR, limit)).then(() => {
    isDone = true
  })
  await waitUntil(() => changed.length > 0)
  await other.add([usageRow(0, 10 * HOUR)])
  t.notOk(isDone, 'its count was stored before the last of them was gone')
  await done
  t.equal(await left('usage_hourly'), 1)
  t.same([...new Set(changed)], [BATCH])
})

onEachDatabase(t, 'the audit, with two replicas that clear up at once', async (t, where) => {
  const { plain, database, changed, left, fill, replica } = await setUp(t, where)
  await fill('audit_log', MANY, auditRow)
  await fill('audit_log', 1, () => auditRow(MANY, NOW))
  const trims = [database, replica()].map((one) => new AuditTrim(one, () => NOW, createLog('silent')).trim())
  await waitUntil(() => changed.length > 0)
  let isDone = false
  const all = Promise.all(trims).then(() => {
    isDone = true
  })
  await plain.run((db) => db.insertInto('audit_log').values(auditRow(-1, NOW)).execute())
  t.notOk(isDone, 'what happened meanwhile was written before the last of them was gone')
  await all
  t.equal(await left('audit_log'), 2)
  t.ok(changed.every((count) => count <= BATCH))
})

onEachDatabase(t, 'device sessions are emptied, and then deleted', async (t, where) => {
  const { plain, database, changed, left, fill } = await setUp(t, where)
  await fill('device_sessions', 2_500, (n) => ({
    ...{ id: `session-${n}`, provider: 'qwen', device_code_hash: `${n}`, device_code: 'sealed' },
    ...{ interval_ms: 1, next_poll_at: 1, status: n % 2 ? 'success' : 'bound', created_at: 1 },
    ...{ expires_at: n < 2_400 ? 1 : NOW, tokens: n % 2 ? 'sealed' : null },
  }))
  const store = new DeviceSessionStore(database, new KeyRing([new Secret(BUILT_IN_ENCRYPTION_KEY)]), SEALS)
  await inBatches((limit) => store.expireSomeOverdue(2, limit))
  t.same(changed.splice(0), [BATCH, 200])
  const full = await plain.run((db) =>
    db.selectFrom('device_sessions').select('id').where('tokens', 'is not', null).execute(),
  )
  t.equal(full.length, 50, 'those whose time is not over')
  await inBatches((limit) => store.deleteSomeExpired(2, limit))
  t.same(changed, [BATCH, BATCH, 400])
  t.equal(await left('device_sessions'), 100)
})

onEachDatabase(t, 'what new rows of the same table make room for', async (t, where) => {
  const { database, changed, left, fill } = await setUp(t, where)
  await fill('rate_counters', 2_500, (n) => ({ bucket: `b${n}`, calls: '1', version: 1, expires_at: 1 }))
  await new RateCounters(database, () => NOW).count('new', 1_000, 5)
  const counters = async () => (await left('rate_counters')) === 1
  while (!(await counters())) await new Promise((resolve) => setTimeout(resolve, 10))

  await fill('ended_sessions', 2_500, (n) => ({ session_hash: `s${n}`, expires_at: 1 }))
  const sessions = new EndedSessions(database, () => NOW)
  for (const id of ['a', 'b', 'c'])
    await sessions.end({ id, expiresAt: NOW + 1, csrfToken: '' }, COMMAND_LINE)
  t.equal(await left('ended_sessions'), 3)

  await fill('rotated_keys', 2_500, (n) => ({ key_hash: `h${n}`, key_id: 'old', ends_at: 1 }))
  const keys = new RotatedKeys(SEALS)
  for (const id of ['a', 'b', 'c']) {
    const row = { key_hash: `hash-${id}`, key_id: id, ends_at: NOW }
    await database.transaction((trx) => keys.bury(trx, row))
  }
  t.equal(await left('rotated_keys'), 3)
  t.ok(changed.every((count) => count <= BATCH))
})
