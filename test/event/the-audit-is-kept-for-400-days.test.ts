import { randomUUID } from 'node:crypto'
import t from 'tap'
import { createLog } from '../../src/base/log.ts'
import { AuditTrim } from '../../src/event/audit-trim.ts'
import { startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'

const DAY = 86_400_000

onEachDatabase(t, 'everything for 400 days, refreshes for 30, events for two', async (t, database) => {
  const broker = await startBroker(t, { databaseUrl: database.url })
  const tables = openTables(t, broker, database)
  const now = Date.now()
  const AGES = [401, 399, 31, 29, 3, 1, 0]
  const rows = ['config.updated', 'credential.refreshed', 'credential.reauth_required'].flatMap((type) =>
    AGES.map((age) => ({ id: randomUUID(), type, at: now - age * DAY + 1_000 })),
  )
  // More than one statement deletes at once.
  for (let i = 0; i < 2_500; i += 1)
    rows.push({ id: randomUUID(), type: 'credential.refreshed', at: now - 40 * DAY })
  await tables.run(async (db) => {
    for (let from = 0; from < rows.length; from += 500) {
      const some = rows.slice(from, from + 500)
      await db
        .insertInto('audit_log')
        .values(
          some.map(({ id, type, at }) => ({
            id,
            type,
            actor: 'system',
            count: 1,
            created_at: at,
            last_at: at,
          })),
        )
        .execute()
      await db
        .insertInto('audit_events')
        .values(
          some.map(({ id, type, at }) => ({
            ...{ id, type, config_id: 'c', config_name: 'c', provider: 'p', reason: null },
            ...{ created_at: at, deliveries: 0, next_delivery_at: null },
          })),
        )
        .execute()
    }
  })
  await new AuditTrim(tables, () => now, createLog('silent')).trim()
  const days = {
    audit_log: (type: string) => (type === 'credential.refreshed' ? 30 : 400),
    audit_events: () => 2,
  }
  for (const table of ['audit_log', 'audit_events'] as const) {
    const kept = rows.filter(({ type, at }) => at > now - days[table](type) * DAY)
    const left = await tables.run((db) => db.selectFrom(table).select('id').execute())
    t.same(new Set(left.map(({ id }) => id)), new Set(kept.map(({ id }) => id)), table)
  }
})
