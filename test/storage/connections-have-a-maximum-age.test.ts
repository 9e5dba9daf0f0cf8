/** A name may lead elsewhere since a connection was opened: no connection outlives five minutes, however busy it is. */
import { sql } from 'kysely'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import t from 'tap'
import type { Database } from '../../src/storage/database.ts'
import { onMysql } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { open } from './fixtures/open.ts'

const MINUTE_MS = 60_000

async function connectionOf({ run }: Database): Promise<number> {
  const { rows } = await run((db) => sql<{ id: number }>`select connection_id() as id`.execute(db))
  return Number(rows[0]?.id)
}

onMysql(t, 'a connection', async (t, where) => {
  const database = open(t, where, t.testdir())
  const observer = await createConnection(process.env['MYSQL_TEST_URL'] ?? '')
  t.teardown(() => observer.end())
  const isOpen = async (id: number) => {
    const [rows] = await observer.query<RowDataPacket[]>(
      'select 1 from information_schema.processlist where id = ?',
      [id],
    )
    return rows.length > 0
  }
  const now = performance.now.bind(performance)
  let later = 0
  performance.now = () => now() + later
  t.teardown(() => {
    performance.now = now
  })

  const first = await connectionOf(database)
  t.equal(await connectionOf(database), first, 'is used again')
  later = 3.9 * MINUTE_MS
  t.equal(await connectionOf(database), first, 'also after a while')
  later = 5.1 * MINUTE_MS
  const held = await database.transaction(async (trx) => {
    await sql`select 1`.execute(trx)
    const { rows } = await sql<{ id: number }>`select connection_id() as id`.execute(trx)
    return Number(rows[0]?.id)
  })
  t.equal(held, first, 'to the end of what goes on')
  const second = await connectionOf(database)
  t.not(second, first, 'and not beyond')
  await waitUntil(async () => !(await isOpen(first)))
  t.equal(await connectionOf(database), second, 'the age of the next one counts from its own beginning')
})
