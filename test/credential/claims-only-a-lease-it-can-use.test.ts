/**
 * A lease that nobody uses keeps every replica from refreshing: none is claimed in vain, and none is left behind.
 */
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { createConnection } from 'mysql2/promise'
import t from 'tap'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { startBroker } from '../support/broker.ts'
import { onEachDatabase, onMysql } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'
import { openScene } from './fixtures/refreshing.ts'

const CLAIM = /^.{5}update `model_configs` set `oauth_state` = /s

onEachDatabase(t, 'whoever cannot write its journal claims nothing', async (t, db) => {
  const scene = await openScene(t, db)
  const { broker } = scene
  const journal = join(broker.dataDir, 'journal')
  rmSync(journal, { recursive: true, force: true })
  writeFileSync(journal, '') // root may write into any folder
  chmodSync(journal, 0o400)
  const database = openTables(t, broker, db)
  const run = (text: string) => database.run((kysely) => sql.raw<object>(text).execute(kysely))
  const note = 'insert into claims values (1); end'
  await run('create table claims (seen integer)')
  await run(
    `create trigger claimed after update on model_configs for each row ${
      db.kind === 'MySQL'
        ? `begin if new.lease_until > 0 then ${note} if; end`
        : `when new.lease_until > 0 begin ${note}`
    }`,
  )
  t.equal((await scene.complete()).status, 200, 'the old token lives')
  await broker.admin('POST', `/api/models/configs/${scene.configId}/refresh`)
  t.match(await scene.row(), { oauth_state: 'active', lease_until: 0, oauth_version: 1 })
  t.same((await run('select * from claims')).rows, [])
  t.equal(broker.sandbox.counts.refreshRequests, 0)
})

onMysql(
  t,
  'a claim whose acknowledgement got lost is given back, and refreshed after that',
  async (t, db) => {
    const proxy = await TcpProxy.to(db.url)
    t.teardown(() => proxy.close())
    const broker = await startBroker(t, { databaseUrl: proxy.via(db.url) })
    const { configId } = await broker.connect()
    const database = openTables(t, broker, db)
    const row = () =>
      database.run((kysely) => kysely.selectFrom('model_configs').selectAll().executeTakeFirstOrThrow())
    let claimed: object | undefined
    proxy.tap = {
      toServer: (chunk, link) => {
        if (CLAIM.test(chunk.toString('latin1'))) claimed ??= link
      },
      toClient: (_, link) => link !== claimed,
    }
    const first = await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
    t.match(first, { status: 503, body: { code: 'refresh_unavailable' } })
    proxy.tap = {}
    t.ok(claimed)
    const second = await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
    t.equal(second.status, 200, JSON.stringify(second.body))
    await waitUntil(async () => (await row()).oauth_state === 'active')
    t.match(await row(), { oauth_version: 2, lease_until: 0 })
    t.equal(broker.sandbox.counts.refreshRequests, 1)
  },
)

onMysql(
  t,
  'a claim that outlasts its own time limit leaves no lease that holds anybody up',
  async (t, db) => {
    const broker = await startBroker(t, { databaseUrl: db.url })
    const { configId } = await broker.connect()
    const locker = await createConnection(db.url)
    t.teardown(() => locker.end())
    await locker.query('begin')
    await locker.query('select * from model_configs for update')
    const first = await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
    t.equal(first.status, 503)
    await locker.query('commit') // from now on the claim may be granted, to nobody
    const refresh = () => broker.admin('POST', `/api/models/configs/${configId}/refresh`)
    await waitUntil(async () => (await refresh()).status === 200) // a lease would last three times as long
    const database = openTables(t, broker, db)
    const row = () =>
      database.run((kysely) => kysely.selectFrom('model_configs').selectAll().executeTakeFirstOrThrow())
    await waitUntil(async () => (await row()).oauth_state === 'active')
    t.equal((await row()).oauth_version, 2)
  },
)
