/** DATABASE_URL with several hosts: which one is used, and what a change of servers costs whoever asks. */
import { sql } from 'kysely'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import t, { type Test } from 'tap'
import type { Database } from '../../src/storage/database.ts'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { type MysqlServer, startMysql } from '../support/mysql-server.ts'
import { testWhere, whatIsMissing } from '../support/test-where.ts'
import { waitUntil } from '../support/wait-until.ts'
import { open } from './fixtures/open.ts'

/** Where a server that failed is asked in its turn again. */
const REST_MS = 10_000
const SCHEMA = 'tb_hosts'

/** Two servers with the same table, and a user whom read-only servers refuse. */
async function pair(t: Test): Promise<[MysqlServer, MysqlServer]> {
  return [await server(t), await server(t)]
}

async function server(t: Test): Promise<MysqlServer> {
  const started = await startMysql()
  if (!started) throw new Error('there was a server a moment ago')
  t.teardown(() => started.stop())
  await asRoot(started, [
    `create database ${SCHEMA}`,
    `create table ${SCHEMA}.notes (port int)`,
    `create user app identified by 'app'`,
    `grant all on ${SCHEMA}.* to app`,
  ])
  return started
}

async function asRoot(server: MysqlServer, statements: readonly string[]): Promise<void> {
  const connection = await createConnection(server.url)
  for (const statement of statements) await connection.query(statement)
  await connection.end()
}

const portOf = (server: MysqlServer) => Number(new URL(server.url).port)

function urlOf(...servers: MysqlServer[]): string {
  const hosts = servers.map((server) => `127.0.0.1:${portOf(server)}`)
  return `mysql://app:app@${hosts.join(',')}/${SCHEMA}`
}

/** The port of the server that took a row. */
async function write({ run }: Database): Promise<number> {
  const { rows } = await run(async (db) => {
    await sql`insert into notes values (@@port)`.execute(db)
    return sql<{ port: number }>`select @@port as port`.execute(db)
  })
  return Number(rows[0]?.port)
}

/** How many connections a server has been asked for so far. */
async function connectionsTo(server: MysqlServer): Promise<number> {
  const connection = await createConnection(server.url)
  const [rows] = await connection.query<RowDataPacket[]>(`show global status like 'Connections'`)
  await connection.end()
  return Number(rows[0]?.['Value'])
}

const missing = whatIsMissing('mariadbd') && whatIsMissing('mysqld')
testWhere(t, { name: 'of two servers', missing }, async (t) => {
  const [one, two] = await pair(t)
  const now = performance.now.bind(performance)
  let later = 0
  performance.now = () => now() + later
  t.teardown(() => {
    performance.now = now
  })
  const database = open(t, { kind: 'MySQL', url: urlOf(one, two) }, '')

  t.equal(await write(database), portOf(one), 'the first, while both are well')

  await t.test('the first becomes read-only', async (t) => {
    await asRoot(one, ['set global read_only = 1'])
    t.equal(await write(database), portOf(two), 'what it refuses goes to the second, and nobody is told')
    t.equal(await database.transaction(() => write(database)), portOf(two), 'so do transactions')
    await database.checkWritable()
    const before = await connectionsTo(one)
    for (let writes = 0; writes < 20; writes += 1) await write(database)
    t.equal(await connectionsTo(one), before + 1, 'the first is left in peace for a while')
    later += REST_MS
    t.equal(await write(database), portOf(two), 'also when the first is looked at again')
    const fresh = open(t, { kind: 'MySQL', url: urlOf(one, two) }, '')
    t.equal(await write(fresh), portOf(two), 'and for who starts now')
  })

  await t.test('the first takes writes again', async (t) => {
    await asRoot(one, ['set global read_only = 0'])
    later += REST_MS
    await waitUntil(async () => (await write(database)) === portOf(one))
    t.pass('it is used')
  })

  await t.test('the first stands still', async (t) => {
    const proxy = await TcpProxy.to(one.url)
    t.teardown(() => proxy.close())
    const hosts = `127.0.0.1:${proxy.port},127.0.0.1:${portOf(two)}`
    const other = open(t, { kind: 'MySQL', url: `mysql://app:app@${hosts}/${SCHEMA}` }, '')
    t.equal(await write(other), portOf(one))
    proxy.drop()
    await t.rejects(write(other), { code: 'storage_unavailable' }, 'it may have been done')
    const before = proxy.links.length
    t.equal(await write(other), portOf(two))
    t.equal(proxy.links.length, before, 'nobody waits for a connection to it, too')
  })

  await t.test('the first dies', async (t) => {
    await one.kill()
    await waitUntil(() =>
      write(database).then(
        (port) => port === portOf(two),
        () => false, // a statement whose connection broke may have been done: it is not sent twice
      ),
    )
    t.equal(await write(database), portOf(two))
  })

  await t.test('both are dead', async (t) => {
    await two.kill()
    await t.rejects(
      waitUntil(() => write(database).then(() => false)),
      { code: 'storage_unavailable' },
    )
    await two.restart()
    await waitUntil(() => write(database).then(Boolean, () => false))
    t.pass('whoever is back is used at once, rest or not')
  })
})
