/**
 * Who did what: a table of its own, for `audit_events` is the webhook's outbox, and older replicas would deliver what
 * they find there. What that table has told so far is taken over, refreshes as one row a config and day.
 */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

const DAY = 86_400_000
const KEPT_DAYS = 400
const REFRESHES_KEPT_DAYS = 30
/** A statement must not take long, however much there is. */
const BATCH = 2_000

interface Event {
  id: string
  type: string
  config_id: string
  config_name: string
  provider: string
  reason: string | null
  created_at: number
}
interface Entry extends Event {
  actor: string
  count: number
  last_at: number
}
type Old = Kysely<{ audit_events: Event; audit_log: Entry }>

export async function up(db: Kysely<unknown>): Promise<void> {
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  const end = isMysql ? sql`character set utf8mb4 collate utf8mb4_bin` : sql``
  await db.schema
    .createTable('audit_log')
    .addColumn('id', 'varchar(100)', (column) => column.primaryKey())
    .addColumn('type', 'varchar(50)', (column) => column.notNull())
    .addColumn('actor', 'varchar(20)', (column) => column.notNull())
    .addColumn('address', 'varchar(64)')
    .addColumn('config_id', 'varchar(36)')
    .addColumn('config_name', 'varchar(255)')
    .addColumn('provider', 'varchar(50)')
    .addColumn('key_id', 'varchar(36)')
    .addColumn('key_name', 'varchar(255)')
    .addColumn('reason', 'varchar(255)')
    .addColumn('details', 'text')
    .addColumn('count', 'integer', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('last_at', 'bigint', (column) => column.notNull())
    .modifyEnd(end)
    .execute()
  const indexes = [
    ['audit_log_time', ['last_at', 'id']],
    ['audit_log_config', ['config_id', 'last_at']],
    ['audit_log_type', ['type', 'last_at']],
  ] as const
  for (const [name, columns] of indexes)
    await db.schema
      .createIndex(name)
      .on('audit_log')
      .columns([...columns])
      .execute()
  await takeOver(db as Old)
}

async function takeOver(db: Old): Promise<void> {
  const days = new Map<string, Entry>()
  let last = { created_at: Date.now() - KEPT_DAYS * DAY, id: '' }
  for (;;) {
    const { created_at, id } = last
    const events = await db
      .selectFrom('audit_events')
      .select(['id', 'type', 'config_id', 'config_name', 'provider', 'reason', 'created_at'])
      .where((row) =>
        row.or([
          row('created_at', '>', created_at),
          row.and([row('created_at', '=', created_at), row('id', '>', id)]),
        ]),
      )
      .where('created_at', '>=', created_at)
      .orderBy('created_at')
      .orderBy('id')
      .limit(BATCH)
      .execute()
    const rest = events.filter(({ type }) => type !== 'credential.refreshed')
    if (rest.length > 0) await insert(db, rest.map(entryOf))
    for (const event of events) if (event.type === 'credential.refreshed') fold(days, event)
    const final = events.at(-1)
    if (!final || events.length < BATCH) break
    last = final
  }
  await insert(db, [...days.values()])
}

function fold(days: Map<string, Entry>, event: Event): void {
  const day = Math.floor(event.created_at / DAY)
  if (event.created_at < Date.now() - REFRESHES_KEPT_DAYS * DAY) return
  const id = `refreshed:${event.config_id}:${day}`
  const known = days.get(id)
  if (!known) days.set(id, { ...entryOf(event), id })
  else {
    known.count += 1
    known.last_at = event.created_at
  }
}

function entryOf(event: Event): Entry {
  return { ...event, actor: 'system', count: 1, last_at: event.created_at }
}

async function insert(db: Old, entries: readonly Entry[]): Promise<void> {
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  for (let from = 0; from < entries.length; from += BATCH / 4) {
    const rows = db.insertInto('audit_log').values(entries.slice(from, from + BATCH / 4))
    await (isMysql ? rows.ignore() : rows).execute() // what a start that was broken off has written stays
  }
}
