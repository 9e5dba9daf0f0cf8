/**
 * Runs a test once per database, each time on an empty one.
 */
import { randomBytes } from 'node:crypto'
import { createConnection } from 'mysql2/promise'
import type { Test } from 'tap'

export type DatabaseKind = 'SQLite' | 'MySQL'

export interface TestDatabase {
  readonly kind: DatabaseKind
  /** Value for DATABASE_URL. */
  readonly url: string
}

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
  if (!server && process.env['CI'] === 'true') {
    t.test(`${name} (MySQL)`, async (t) => t.fail(MISSING))
    return
  }
  t.test(`${name} (MySQL)`, { skip: server ? false : MISSING }, async (t) => {
    await body(t, await emptyMysql(t))
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
