import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { MIGRATIONS, migrate } from '../../src/storage/migrate.ts'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { onEachDatabase, onOwnMysql, type TestDatabase } from '../support/databases.ts'
import { open } from './fixtures/open.ts'

const SCRIPT = fileURLToPath(new URL('fixtures/migrate-in-a-process.ts', import.meta.url))
const FILES = fileURLToPath(new URL('../../migrations/', import.meta.url))
const REPLICAS = 4

async function migrateInAProcess({ kind, url }: TestDatabase, dataDir: string): Promise<string[]> {
  const env = { PATH: process.env['PATH'], DATA_DIR: dataDir, ...(kind === 'MySQL' && { MYSQL_URL: url }) }
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT], { env })
  return JSON.parse(stdout) as string[]
}

t.test('every file is a migration, under its name', async (t) => {
  t.same(
    Object.keys(MIGRATIONS).map((name) => `${name}.ts`),
    readdirSync(FILES).sort(),
  )
})

onEachDatabase(t, 'a second migration finds nothing to do', async (t, where) => {
  const database = open(t, where, t.testdir())
  const first = await migrate(database)
  t.equal(first[0], '001-initial')
  t.same(await migrate(database), [])
  const counter = await database.run((db) => db.selectFrom('change_counter').selectAll().execute())
  t.same(counter, [{ id: 1, value: 0 }])
})

onEachDatabase(t, 'of processes that start at once one migrates and all come up', async (t, where) => {
  const dir = t.testdir()
  const done = await Promise.all(Array.from({ length: REPLICAS }, () => migrateInAProcess(where, dir)))
  t.equal(done.filter((names) => names.includes('001-initial')).length, 1)
  t.equal(done.filter((names) => names.length === 0).length, REPLICAS - 1)
  t.same(await migrate(open(t, where, dir)), [])
})

/** Longer than any other statement may take. */
const LONG_MS = 6_000

onOwnMysql(
  t,
  'a large table may take its time, and who starts meanwhile waits',
  [],
  async (t, { schema }) => {
    const url = await schema()
    const proxy = await TcpProxy.to(url)
    t.teardown(() => proxy.close())
    const changing = Promise.withResolvers<void>()
    proxy.tap = {
      async toServer(chunk) {
        if (!chunk.includes('create table `usage_')) return
        changing.resolve()
        await sleep(LONG_MS)
      },
    }
    const first = migrate(open(t, { kind: 'MySQL', url: proxy.via(url) }, t.testdir()))
    await changing.promise
    const second = migrate(open(t, { kind: 'MySQL', url }, t.testdir()))
    t.same(await first, Object.keys(MIGRATIONS))
    t.same(await second, [])
  },
)
