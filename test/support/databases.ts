/**
 * Runs a test once per database, each time on an empty one.
 */
import { randomBytes } from 'node:crypto'
import { createConnection } from 'mysql2/promise'
import type { Test } from 'tap'
import { type MysqlServer, startMysql } from './mysql-server.ts'
import { testWhere } from './test-where.ts'

export type DatabaseKind = 'SQLite' | 'MySQL'

export interface TestDatabase {
  readonly kind: DatabaseKind
  /** Value for DATABASE_URL. */
  readonly url: string
}

const NO_SERVER = 'not tested: neither mariadbd nor mysqld here'
const MISSING = 'no MySQL or MariaDB here: set MYSQL_TEST_URL, or install mariadb-server'

/** `t.test(name on SQLite)` and `t.test(name on MySQL)`; without a server the latter is skipped, by name. */
export function onEachDatabase(
  t: Test,
  name: string,
  body: (t: Test, database: TestDatabase) => Promise<void>,
): void {
  t.test(`${name} (SQLite)`, (t) => body(t, { kind: 'SQLite', url: 'sqlite:' }))
  onMysql(t, name, body)
}

/** The latter half of {@link onEachDatabase}, for what only a server can show. */
export function onMysql(
  t: Test,
  name: string,
  body: (t: Test, database: TestDatabase) => Promise<void>,
): void {
  const server = process.env['MYSQL_TEST_URL']
  testWhere(t, { name: `${name} (MySQL)`, missing: server ? undefined : MISSING }, async (t) =>
    body(t, await emptyMysql(t)),
  )
}

export interface OwnMysql {
  readonly server: MysqlServer
  /** Value for DATABASE_URL: an empty schema on it. */
  schema(): Promise<string>
}

/** With a server of the test's own, for what a shared one must not suffer. */
export function onOwnMysql(
  t: Test,
  name: string,
  settings: Parameters<typeof startMysql>,
  body: (t: Test, own: OwnMysql) => Promise<void>,
): void {
  t.test(name, async (t) => {
    const server = await startMysql(...settings)
    if (!server) return process.env['CI'] === 'true' ? t.fail(NO_SERVER) : t.comment(NO_SERVER)
    t.teardown(() => server.stop())
    const schema = async () => {
      const connection = await createConnection(server.url)
      const name = `tb_${randomBytes(6).toString('hex')}`
      await connection.query(`create database ${name}`)
      await connection.end()
      return server.url + name
    }
    return body(t, { server, schema })
  })
}

/** A schema of its own on the test server, dropped at the end. Needs MYSQL_TEST_URL. */
export async function emptyMysql(t: Test): Promise<TestDatabase> {
  const server = process.env['MYSQL_TEST_URL'] ?? ''
  const name = `tb_${randomBytes(6).toString('hex')}`
  const connection = await createConnection(server)
  await connection.query(`create database ${name}`)
  t.teardown(async () => {
    await connection.query(`drop database if exists ${name}`)
    await connection.end()
  })
  const url = new URL(server)
  url.pathname = `/${name}`
  return { kind: 'MySQL', url: url.href }
}
