/** An upgrade: what `audit_events` held is in the audit log, refreshes as one row a config and day. */
import { Migrator } from 'kysely/migration'
import t from 'tap'
import { MIGRATIONS, migrate } from '../../src/storage/migrate.ts'
import { onEachDatabase } from '../support/databases.ts'
import { open } from './fixtures/open.ts'

const DAY = 86_400_000
const AUDIT_LOG = Object.keys(MIGRATIONS).find((name) => name.endsWith('audit-log')) ?? ''

onEachDatabase(t, 'more events than one statement reads, and the oldest left behind', async (t, database) => {
  const db = open(t, database, t.testdir())
  const older = Object.entries(MIGRATIONS).filter(([name]) => name < AUDIT_LOG)
  const provider = { getMigrations: async () => Object.fromEntries(older) }
  const { error } = await new Migrator({ db: db.kysely, provider }).migrateToLatest()
  t.notOk(error)
  const noon = Math.floor(Date.now() / DAY) * DAY - DAY / 2
  const event = (id: string, type: string, created_at: number, config = 'a') => ({
    ...{ id, type, created_at, config_id: config, config_name: `config ${config}`, provider: 'p' },
    ...{ reason: null, deliveries: 0, next_delivery_at: null },
  })
  const rows = [
    event('old', 'credential.uncertain', noon - 410 * DAY),
    event('kept', 'credential.uncertain', noon - 390 * DAY),
    event('dead', 'credential.reauth_required', noon),
    event('long-ago', 'credential.refreshed', noon - 40 * DAY),
    event('b', 'credential.refreshed', noon, 'b'),
  ]
  // Many at one instant: where one statement ends, the next goes on.
  for (let i = 0; i < 4_500; i += 1) rows.push(event(`r${i}`, 'credential.refreshed', noon - (i % 3) * DAY))
  for (let from = 0; from < rows.length; from += 500)
    await db.run((db) =>
      db
        .insertInto('audit_events')
        .values(rows.slice(from, from + 500))
        .execute(),
    )

  t.ok((await migrate(db)).includes(AUDIT_LOG))
  const log = await db.run((db) =>
    db
      .selectFrom('audit_log')
      .select(['type', 'config_id', 'config_name', 'count', 'actor', 'last_at'])
      .execute(),
  )
  const told = log.map(({ type, config_id, count, last_at }) => [
    type,
    config_id,
    count,
    (noon - last_at) / DAY,
  ])
  t.same(
    new Set(told.map((entry) => entry.join(' '))),
    new Set([
      'credential.uncertain a 1 390',
      'credential.reauth_required a 1 0',
      'credential.refreshed b 1 0',
      ...[0, 1, 2].map((day) => `credential.refreshed a 1500 ${day}`),
    ]),
  )
  t.equal(told.length, 6)
  t.match(log[0], { actor: 'system', config_name: /config/ })
})
