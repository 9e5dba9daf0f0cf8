/** MySQL keeps what a start changed of its tables, wherever the start ended. The next one makes of it what one start would have. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { MIGRATIONS, migrate } from '../../src/storage/migrate.ts'
import { errorPacket } from '../chaos/mysql-errors.ts'
import { type Link, TcpProxy } from '../chaos/tcp-proxy.ts'
import { emptyMysql, onEachDatabase, onMysql } from '../support/databases.ts'
import { open } from './fixtures/open.ts'

const SCRIPT = fileURLToPath(new URL('fixtures/migrate-in-a-process.ts', import.meta.url))
const QUERY = 3
const DEADLOCK = 1213
const WRITES = /^(create|alter|drop|insert|update|delete) /
/** As many as change tables today, at least. */
const STATEMENTS = 80

t.setTimeout(120_000)

/** What becomes of a statement. */
type Fault = (link: Link) => unknown

/** An empty database, and a way to it on which each statement that writes meets one fault, and then none any more. */
async function onTheWay(t: Test, fault: Fault) {
  const { url } = await emptyMysql(t)
  const behind = await createConnection(url)
  const proxy = await TcpProxy.to(url)
  t.teardown(async () => {
    await proxy.close()
    await behind.end()
  })
  const met = new Set<string>()
  proxy.tap = {
    async toServer(chunk, link) {
      const statement = chunk.subarray(5).toString()
      if (chunk[4] !== QUERY || !WRITES.test(statement)) return
      const name = statement.replace(/'\d{4}-[^']+Z'/, '')
      if (met.has(name)) return
      met.add(name)
      if (name.startsWith('create table `audit_log`')) await happenEarlier(behind)
      return fault(link)
    },
  }
  return { proxy, behind, met, place: { kind: 'MySQL', url: proxy.via(url) } as const }
}

async function happenEarlier(behind: Connection): Promise<void> {
  const noon = Math.floor(Date.now() / 86_400_000) * 86_400_000
  const events = [
    ['a', 'credential.uncertain'],
    ['b', 'credential.refreshed'],
    ['c', 'credential.refreshed'],
  ].map(([id, type]) => [id, type, 'config', 'name', 'qwen', null, noon, 0, null])
  await behind.query('insert into audit_events values ?', [events])
}

/** Tables as the server describes them, and their rows, without when migrations ran. */
async function contents(behind: Connection): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {}
  const [tables] = await behind.query<RowDataPacket[]>('show tables')
  for (const table of tables.flatMap((row) => Object.values(row) as string[])) {
    const [[made]] = await behind.query<RowDataPacket[]>(`show create table ${table}`)
    const [rows] = await behind.query<RowDataPacket[]>(`select * from ${table} order by 1`)
    all[table] = [made?.['Create Table'], rows.map(({ timestamp: _, ...row }) => row)]
  }
  return all
}

async function undisturbed(t: Test): Promise<Record<string, unknown>> {
  const { place, behind, met } = await onTheWay(t, () => {})
  t.same(await migrate(open(t, place, '')), Object.keys(MIGRATIONS))
  t.ok(met.size >= STATEMENTS, `${met.size} statements`)
  return contents(behind)
}

/** Each start comes further than the one before, until nothing is left to do. */
async function startUntilDone(
  t: Test,
  { place, met }: Awaited<ReturnType<typeof onTheWay>>,
  replicas: number,
) {
  const databases = Array.from({ length: replicas }, () => open(t, place, ''))
  for (let before = -1; met.size > before; ) {
    before = met.size
    const came = await Promise.allSettled(databases.map(migrate))
    const failed = came.find(({ status }) => status === 'rejected')
    if (!failed) return
    t.match(failed, { reason: { code: 'storage_unavailable' } })
  }
  t.fail('a start met nothing new, and failed')
}

onMysql(t, 'whichever statement is lost, is done and its answer lost, or meets a deadlock', async (t) => {
  const expected = await undisturbed(t)
  const answerLost = new Set<Link>()
  const faults: [says: string, fault: Fault, replicas: number][] = [
    ['lost', () => false, 1],
    ['done, and its answer lost, for two at once', (link) => void answerLost.add(link), 2],
    // Tried again within one start, after a pause each: not all of them.
    ['deadlocks', () => Math.random() > 0.2 || errorPacket(DEADLOCK), 1],
  ]
  for (const [says, fault, replicas] of faults) {
    await t.test(says, async (t) => {
      const way = await onTheWay(t, fault)
      way.proxy.tap.toClient = (_, link) => !answerLost.delete(link)
      await startUntilDone(t, way, replicas)
      t.ok(way.met.size >= STATEMENTS)
      t.same(await contents(way.behind), expected)
    })
  }
})

onMysql(t, 'a process that is killed', async (t) => {
  const expected = await undisturbed(t)
  const survivors = new Set([0, 1, 2].map(() => Math.floor(Math.random() * STATEMENTS)))
  t.comment(`killed at ${[...survivors]}`)
  let killed = 0
  const way = await onTheWay(t, () => {
    if (!survivors.delete(way.met.size - 1)) return
    killed += 1
    replica?.kill('SIGKILL')
  })
  let replica: ReturnType<typeof spawn> | undefined
  for (let code: number | null = null; code === null; ) {
    const env = { PATH: process.env['PATH'], MYSQL_URL: way.place.url }
    replica = spawn(process.execPath, [SCRIPT], { env, stdio: 'ignore' })
    ;[code] = await once(replica, 'exit')
    t.ok(code === 0 || code === null)
  }
  t.ok(killed > 0)
  t.same(await contents(way.behind), expected)
})

onEachDatabase(t, "a table of another program's is not taken for one of a start before", async (t, where) => {
  const database = open(t, where, t.testdir())
  await database.run((db) => db.schema.createTable('audit_log').addColumn('id', 'integer').execute())
  await t.rejects(migrate(database), { name: 'ConfigError', message: /its audit_log is another program's/ })
  const tables = await database.run((db) => db.introspection.getTables({ withInternalKyselyTables: true }))
  t.same(
    tables.map(({ name }) => name),
    ['audit_log'],
    'nothing is written',
  )
})
