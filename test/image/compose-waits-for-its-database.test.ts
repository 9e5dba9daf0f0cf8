/** config/compose.yaml, as far as it can be tried without Docker: its health check in a shell, against a server. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createConnection } from 'mysql2/promise'
import t from 'tap'
import { parse } from 'yaml'
import { onOwnMysql } from '../support/databases.ts'

const compose = parse(readFileSync(new URL('../../config/compose.yaml', import.meta.url), 'utf8'))
const { broker, mysql } = compose.services

t.test('both come back after a restart, and the broker waits for its database', async (t) => {
  t.equal(broker.restart, 'unless-stopped')
  t.equal(mysql.restart, 'unless-stopped')
  t.same(broker.depends_on, { mysql: { condition: 'service_healthy' } })
})

onOwnMysql(
  t,
  'healthy is who lets the broker in; a password that no longer fits is said',
  [],
  async (t, { server }) => {
    const root = await createConnection(server.url)
    t.teardown(() => root.end())
    const [, script] = mysql.healthcheck.test as [string, string]
    const log = `${t.testdir()}/log`
    // Compose reads $$ as $; what the container's first process says is its log.
    const check = script.replaceAll('$$', '$').replace('/proc/1/fd/1', log)
    const { port } = new URL(server.url)
    const run = (password: string): Promise<number> =>
      new Promise((resolve) => {
        const env = { PATH: process.env['PATH'], MYSQL_PASSWORD: password, MYSQL_TCP_PORT: port }
        execFile('sh', ['-c', check], { env }, (error) => resolve(Number(error?.code ?? 0)))
      })
    t.equal(await run('first'), 1, 'no such user yet, as while the volume is made')
    await root.query('create database broker')
    await root.query("create user broker@'%' identified by 'first'")
    await root.query("grant all on broker.* to broker@'%'")
    t.equal(await run('first'), 0)
    t.equal(await run('second'), 1)
    t.match(
      readFileSync(log, 'utf8'),
      /^MYSQL_PASSWORD is not the password that this volume was made with: .*\n/,
    )
    await server.kill()
    const said = readFileSync(log, 'utf8')
    t.equal(await run('first'), 1)
    t.equal(readFileSync(log, 'utf8'), said, 'a server that is away says nothing of passwords')
  },
)
