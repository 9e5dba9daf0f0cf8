/**
 * While a server's local clock runs an hour twice in autumn, only UTC tells when a lease is over.
 */
import { sql } from 'kysely'
import { createConnection } from 'mysql2/promise'
import t from 'tap'
import { MINUTE } from '../../src/base/clock.ts'
import { onOwnMysql } from '../support/databases.ts'
import { open } from './fixtures/open.ts'

/** Middle Europe, without a file of time zones. */
const BERLIN = 'CET-1CEST,M3.5.0,M10.5.0/3'
/** In spring an hour is left out, in autumn one comes twice. */
const CHANGES = [Date.parse('2026-03-29T01:00:00Z'), Date.parse('2026-10-25T01:00:00Z')]

const EVERYWHERE = 'every minute around both changes, wherever the session believes to be'
onOwnMysql(t, EVERYWHERE, [[], BERLIN], async (t, { server, schema }) => {
  const root = await createConnection(server.url)
  const url = await schema()
  for (const zone of ['SYSTEM', '+05:30', '-11:00']) {
    await root.query(`set global time_zone = '${zone}'`)
    const database = open(t, { kind: 'MySQL', url }, t.testdir())
    const wrong: string[] = []
    await database.run((db) =>
      db.connection().execute(async (one) => {
        for (const change of CHANGES) {
          for (let at = change - 90 * MINUTE; at <= change + 90 * MINUTE; at += MINUTE) {
            const exact = at + (at % 997)
            await sql.raw(`set timestamp = ${exact / 1000}`).execute(one)
            const { rows } = await sql<{ now: number }>`select ${database.nowMs} as now`.execute(one)
            if (rows[0]?.now !== exact) wrong.push(`${new Date(exact).toISOString()}: ${rows[0]?.now}`)
          }
        }
      }),
    )
    t.same(wrong, [], zone)
    await database.close()
  }
  await root.end()
})
