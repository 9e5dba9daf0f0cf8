import { join } from 'node:path'
import SqliteDatabase from 'better-sqlite3'
import t, { type Test } from 'tap'
import { BrokerError } from '../../src/base/errors.ts'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { onMysql } from '../support/databases.ts'
import { freePort } from '../support/free-port.ts'
import { open } from './fixtures/open.ts'

function ask({ run }: Database): Promise<unknown> {
  return run((db) => db.selectFrom('change_counter').selectAll().execute())
}

async function unavailable(t: Test, work: Promise<unknown>): Promise<void> {
  try {
    await work
    t.fail('answered')
  } catch (error) {
    t.ok(error instanceof BrokerError, String(error))
    t.match(error, { code: 'storage_unavailable', status: 503, retryAfterSeconds: 2 })
    t.notMatch(JSON.stringify([String(error), (error as BrokerError).detail]), /hunter2/)
  }
}

t.test('nobody listens where MySQL should be', async (t) => {
  const url = `mysql://user:hunter2@127.0.0.1:${await freePort()}/name`
  const database = open(t, { kind: 'MySQL', url }, t.testdir())
  await unavailable(t, ask(database))
  await unavailable(t, migrate(database))
  await unavailable(
    t,
    database.transaction((trx) => trx.selectFrom('change_counter').selectAll().execute()),
  )
})

const server = process.env['MYSQL_TEST_URL']
t.test(
  'MySQL does not know the login, or the schema',
  { skip: server ? false : 'no MySQL here' },
  async (t) => {
    for (const change of [{ username: 'nobody', password: 'hunter2' }, { pathname: '/tb_missing' }]) {
      const { href } = Object.assign(new URL(server ?? ''), { pathname: '/tb_any' }, change)
      await unavailable(t, ask(open(t, { kind: 'MySQL', url: href }, t.testdir())))
    }
  },
)

onMysql(
  t,
  'a statement whose connection is lost is over, and is not called overdue later',
  async (t, where) => {
    const proxy = await TcpProxy.to(where.url)
    t.teardown(() => proxy.close())
    const database = open(t, { ...where, url: proxy.via(where.url) }, '')
    await migrate(database)
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
    const before = timers()
    for (let lost = 0; lost < 5; lost += 1) {
      proxy.tap = { toClient: () => false }
      await unavailable(t, ask(database))
      proxy.tap = {}
      t.same(await ask(database), [{ id: 1, value: 0 }])
    }
    t.ok(timers() <= before + 1, `${timers()} timers, ${before} before`)
  },
)

t.test('SQLite is locked by somebody else', async (t) => {
  const dir = t.testdir()
  const database = open(t, { kind: 'SQLite', url: 'sqlite:' }, dir)
  await migrate(database)
  const other = new SqliteDatabase(join(dir, 'token-broker.sqlite'))
  other.exec('begin immediate')
  await unavailable(
    t,
    database.run((db) => db.updateTable('change_counter').set({ value: 1 }).execute()),
  )
  t.same(await ask(database), [{ id: 1, value: 0 }], 'reading goes on')
  other.exec('rollback')
  other.close()
})

t.test('a table that is not there, too; our own mistakes stay what they are', async (t) => {
  const database = open(t, { kind: 'SQLite', url: 'sqlite:' }, t.testdir())
  await unavailable(t, ask(database))
  const mistake = new TypeError('of ours')
  await t.rejects(
    database.run(async () => Promise.reject(mistake)),
    mistake,
  )
})
