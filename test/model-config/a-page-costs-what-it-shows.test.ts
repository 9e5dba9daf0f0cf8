/**
 * What a page of a list costs a database is counted where that can be, in a server of its own, and else read from the
 * plan: of very many rows, some of which are of the same moment, no more are looked at than are shown.
 */
import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { ApiKeyReader, positionOf } from '../../src/api-key/api-key-reader.ts'
import { Secret } from '../../src/base/secret.ts'
import {
  type ConfigFilter,
  type ConfigSort,
  ModelConfigReader,
  positionIn,
} from '../../src/model-config/model-config-reader.ts'
import { type AuditFilter, listAudit, placeInAudit } from '../../src/storage/audit-log.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import type { Position } from '../../src/storage/keyset.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { configRow, open } from '../storage/fixtures/open.ts'
import { onOwnMysql } from '../support/databases.ts'

const SHOWN = 20
/** Of a few thousand a server may choose to pass over those before the page, all the same. */
const MANY = 20_000
const FEW = 500
const AT_ONCE = 500

async function fill(database: Database, count: number): Promise<void> {
  await migrate(database)
  for (let from = 0; from < count; from += AT_ONCE) {
    const numbers = Array.from({ length: AT_ONCE }, (_, n) => from + n)
    const configs = numbers.map((n) =>
      configRow(`account-${n}`, {
        created_at: Math.floor(n / 4),
        oauth_state: n % 40 === 0 ? 'missing' : 'active',
        is_active: n % 2,
        provider: n % 3 ? 'qwen' : 'openai',
        oauth_access_token: 'x'.repeat(500),
      }),
    )
    const keys = configs.map(({ id, name, created_at }) => ({
      ...{ id, name, key_hash: id, key_prefix: '', may_read_tokens: 0, created_at },
    }))
    await database.run((db) => db.insertInto('model_configs').values(configs).execute())
    const entries = configs.map(({ id, created_at }) => ({
      ...{ id, config_id: id, type: 'config.created', actor: 'console', count: 1 },
      ...{ created_at, last_at: created_at },
    }))
    await database.run((db) => db.insertInto('api_keys').values(keys).execute())
    await database.run((db) => db.insertInto('audit_log').values(entries).execute())
  }
}

const ALL: Omit<ConfigFilter, 'sort'> = {
  ids: undefined,
  provider: undefined,
  isActive: undefined,
  externalId: undefined,
  namePart: undefined,
  states: undefined,
}

const EVERYTHING: AuditFilter = {
  ...{ configId: undefined, types: undefined, actors: undefined },
  ...{ from: undefined, to: undefined },
}

interface Page {
  readonly what: string
  /** @param after where it begins; undefined: at the first */
  read(after: Position | undefined): Promise<readonly { readonly position: Position }[]>
}

/** Those of which every row, or every other, is one to be shown. */
function pagesOf(database: Database): Page[] {
  const configs = new ModelConfigReader(database)
  const keys = new ApiKeyReader(database)
  const start = (after: Position | undefined) => (after ? { after } : { skip: 0 })
  const page = (filter: Partial<ConfigFilter> & { readonly sort: ConfigSort }): Page => ({
    what: `accounts ${JSON.stringify(filter)}`,
    async read(after) {
      const rows = await configs.list({ ...ALL, ...filter }, start(after), SHOWN)
      const place = positionIn(filter.sort)
      return rows.map((row) => ({ position: place?.(row) ?? [] }))
    },
  })
  const keyPage = (sort: 'created_at' | '-created_at', namePart?: string): Page => ({
    what: `keys ${sort} ${namePart ?? ''}`,
    async read(after) {
      const records = await keys.list({ sort, namePart }, start(after), SHOWN)
      return records.map((record) => ({ position: positionOf(record) }))
    },
  })
  return [
    page({ sort: 'created_at' }),
    page({ sort: '-created_at' }),
    page({ sort: 'name' }),
    page({ sort: '-created_at', isActive: true }),
    page({ sort: '-created_at', namePart: 'COUNT' }),
    page({ sort: '-created_at', provider: 'qwen', namePart: 'account' }),
    page({ sort: '-created_at', states: ['active'] }),
    page({ sort: 'created_at', states: ['active'], isActive: false }),
    keyPage('created_at'),
    keyPage('-created_at'),
    keyPage('-created_at', 'account'),
    {
      what: 'what was done',
      async read(after) {
        const entries = await listAudit(database, EVERYTHING, start(after), SHOWN)
        return entries.map((entry) => ({ position: placeInAudit(entry) }))
      },
    },
  ]
}

/** Rows are found twice, in the index and by their id, and sorted once; where a filter chooses, others lie between. */
const MAX_LOOKS = 6 * SHOWN + 60

onOwnMysql(t, 'as a server counts it', [], async (t, { server, schema }) => {
  const database = openDatabase({ dataDir: '', mysqlUrl: new Secret(await schema()) })
  t.teardown(() => database.close())
  await fill(database, MANY)
  const connection = await createConnection(server.url)
  t.teardown(() => connection.end())
  for (const page of pagesOf(database)) {
    const counted = async (after: Position | undefined) => {
      const before = await countsOf(connection)
      const rows = await page.read(after)
      const now = await countsOf(connection)
      t.equal(now.queries - before.queries, 1, `${page.what} is one query`)
      return { rows, looks: now.looks - before.looks }
    }
    await page.read(undefined) // what a server reads of a table once
    const costs = await costsOf(page, counted)
    t.ok(Math.max(...costs) <= MAX_LOOKS, `${page.what}: ${costs} rows`)
  }
  const configs = new ModelConfigReader(database)
  for (const [wanted, count] of [
    ['account-7000', 1],
    ['id-account-7000', 1],
    ['nobody', 0],
  ] as const) {
    const before = await countsOf(connection)
    t.equal((await configs.named(wanted)).length, count)
    const { looks } = await countsOf(connection)
    t.ok(looks - before.looks <= 20, `${wanted}: ${looks - before.looks} rows`)
  }
})

/** At the first page, the second, and far behind. */
async function costsOf(
  page: Page,
  counted: (
    after: Position | undefined,
  ) => Promise<{ rows: readonly { position: Position }[]; looks: number }>,
): Promise<number[]> {
  const first = await counted(undefined)
  const second = await counted(first.rows.at(-1)?.position)
  let last = second.rows
  for (let n = 0; n < 30; n += 1) last = await page.read(last.at(-1)?.position)
  const far = await counted(last.at(-1)?.position)
  return [first.looks, second.looks, far.looks]
}

async function countsOf(connection: Awaited<ReturnType<typeof createConnection>>) {
  const [rows] = await connection.query(
    "show global status where Variable_name like 'Handler_read%' or Variable_name = 'Com_select'",
  )
  const counts = rows as { readonly Variable_name: string; readonly Value: string }[]
  const sum = (isMeant: (name: string) => boolean) =>
    counts.reduce((all, { Variable_name, Value }) => all + (isMeant(Variable_name) ? Number(Value) : 0), 0)
  return {
    queries: sum((name) => name === 'Com_select'),
    looks: sum((name) => name.startsWith('Handler_read')),
  }
}

t.test('as SQLite plans it', async (t) => {
  const database = open(t, { kind: 'SQLite', url: 'sqlite:' }, t.testdir())
  await fill(database, FEW)
  const { spied, plan } = planning(database)
  for (const page of pagesOf(spied)) {
    const first = await page.read(undefined)
    t.equal(first.length, SHOWN, page.what)
    t.match(await plan(), INDEXED, page.what)
    const place = first.at(-1)?.position
    t.equal((await page.read(place)).length, SHOWN)
    assertPlaced(t, page.what, await plan())
  }
  t.match(await new ModelConfigReader(spied).named('account-7'), [{ id: 'id-account-7' }])
  t.notMatch(await plan(), /SCAN/)
})

/** The ids come from an index alone that is in their order, and the rows by their ids. */
const INDEXED =
  /^CO-ROUTINE page\n(?:SEARCH|SCAN) \w+ USING (?:COVERING )?INDEX (?:model_configs_pages|model_configs_states|sqlite_autoindex_model_configs_2|api_keys_pages|audit_log_time)[^\n]*\nSCAN page\nSEARCH \w+ USING INDEX \w+ \(id=\?\)\nUSE TEMP B-TREE FOR ORDER BY$/

function assertPlaced(t: Test, what: string, plan: string): void {
  t.match(plan, INDEXED, what)
  t.match(
    plan,
    /\((?:created_at|last_at),id\)[<>]\(\?,\?\)|\(active_name>\?\)/,
    `${what} begins where it is to begin`,
  )
}

/** The database, and how it carries out the last statement that it was given. */
function planning(database: Database): { spied: Database; plan(): Promise<string> } {
  type Executor = ReturnType<Database['kysely']['getExecutor']>
  let last: ReturnType<Executor['compileQuery']> | undefined
  const plugin: Parameters<Database['kysely']['withPlugin']>[0] = {
    transformQuery({ node, queryId }) {
      last = database.kysely.getExecutor().compileQuery(node, queryId)
      return node
    },
    transformResult: async ({ result }) => result,
  }
  const run: Database['run'] = (work) => database.run((db) => work(db.withPlugin(plugin)))
  return {
    spied: { ...database, run },
    async plan() {
      if (!last) throw new Error('no statement yet')
      const explained = { ...last, sql: `explain query plan ${last.sql}` }
      const { rows } = await database.run((db) => db.executeQuery<{ detail: string }>(explained))
      return rows.map(({ detail }) => detail).join('\n')
    },
  }
}
