/** A database that is there and refuses us is for a person to mend: the start ends, with one line that says what. */
import t, { type Test } from 'tap'
import { onMysql } from '../support/databases.ts'
import { sitDown } from '../support/desk.ts'

const SETTINGS = {
  PORT: '0',
  NODE_ENV: 'production',
  ADMIN_TOKEN: 'a'.repeat(40),
  ALLOW_DEFAULT_ENCRYPTION_KEY: 'true',
}

const start = (t: Test, env: Record<string, string>, command = 'serve') =>
  sitDown(t).run([command], '', { ...SETTINGS, ...env })

onMysql(t, 'the start ends with one line', async (t, { url }) => {
  const { hostname, port } = new URL(url)
  const place = `${hostname}:${port}`
  for (const WORKERS of ['1', '2']) {
    const denied = Object.assign(new URL(url), { username: 'nobody', password: 'hunter2' }).href
    const login = await start(t, { WORKERS, DATABASE_URL: denied })
    t.equal(login.code, 1)
    t.match(
      login.err,
      new RegExp(`^token-broker: DATABASE_URL: ${place}, database tb_\\w+, refuses: Access denied .*\\n$`),
    )
    t.notMatch(login.err, /hunter2/)

    const missing = Object.assign(new URL(url), { pathname: '/tb_missing' }).href
    const name = await start(t, { WORKERS, DATABASE_URL: missing })
    t.equal(name.code, 1)
    t.match(
      name.err,
      new RegExp(
        `^token-broker: DATABASE_URL: ${place}, database tb_missing, refuses: Unknown database .*\\n$`,
      ),
    )
  }
})

onMysql(t, 'commands on the database say the same', async (t, { url }) => {
  const denied = Object.assign(new URL(url), { username: 'nobody', password: 'hunter2' }).href
  for (const command of ['migrate', 'doctor', 'configs']) {
    const { code, err } = await start(t, { DATABASE_URL: denied }, command)
    t.equal(code, 1, command)
    t.match(err, /^token-broker: DATABASE_URL: .* refuses: Access denied .*\n$/, command)
    t.notMatch(err, /hunter2/)
  }
})
