/** Percent-encoded in DATABASE_URL, as a generator of passwords makes them, and as people do. */
import { sql } from 'kysely'
import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { onOwnMysql } from '../support/databases.ts'
import { open } from './fixtures/open.ts'

const PASSWORDS = ['p%/:@?# 100%', '%25', `quo'te"\\back\`tick`, '配置é', 'a+b&c=d;e', '%zz', '[::1]']

async function logsIn(t: Test, url: string): Promise<string> {
  const { run, close } = open(t, { kind: 'MySQL', url }, '')
  const asked = run((db) => sql`select 1`.execute(db)).then(
    () => 'logged in',
    ({ code }) => code,
  )
  return asked.finally(() => close())
}

onOwnMysql(t, 'each', [[]], async (t, { server }) => {
  const { host } = new URL(server.url)
  const admin = await createConnection(server.url)
  t.teardown(() => admin.end())
  for (const [index, password] of PASSWORDS.entries()) {
    await admin.query(`create user p${index}@'%' identified by ?`, [password])
    const who = `p${index}:${encodeURIComponent(password)}`
    t.equal(await logsIn(t, `mysql://${who}@${host}/information_schema`), 'logged in', password)
    const other = await logsIn(t, `mysql://${who}x@${host}/information_schema`)
    t.equal(other, 'storage_unavailable', `${password}, and more behind it`)
  }
})
