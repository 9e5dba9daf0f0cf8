/** Before the server hangs up on them (`wait_timeout`), for a connection may be taken in that very moment. */
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import t from 'tap'
import { onMysql } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { open } from './fixtures/open.ts'

onMysql(t, 'idle connections', async (t, where) => {
  const { run } = open(t, where, t.testdir())
  const observer = await createConnection(process.env['MYSQL_TEST_URL'] ?? '') // not to the schema it counts
  t.teardown(() => observer.end())
  const connections = async () => {
    const [[row]] = await observer.query<RowDataPacket[]>(
      'select count(*) as open from information_schema.processlist where db = ?',
      [new URL(where.url).pathname.slice(1)],
    )
    return Number(row?.['open'])
  }
  const ask = () => run((db) => sql`select sleep(0.2)`.execute(db))

  await Promise.all(Array.from({ length: 20 }, ask))
  t.equal(await connections(), 10)
  await waitUntil(async () => {
    await sleep(800)
    await ask()
    return (await connections()) === 1
  })
  t.pass('the one that is in use stays')
})

t.test('a database that was opened, never asked and closed does not keep the process', async (t) => {
  const source = (name: string) => new URL(`../../src/${name}.ts`, import.meta.url).href
  const script = `
    import { openDatabase } from '${source('storage/database')}'
    import { Secret } from '${source('base/secret')}'
    await openDatabase({ mysqlUrl: new Secret('mysql://me@127.0.0.1:1/name'), dataDir: '' }).close()`
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], { timeout: 120_000 })
  t.pass('it ended by itself')
})
