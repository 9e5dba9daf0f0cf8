/**
 * Between an answer and its row every error of the database means "again": only the row itself ends an attempt.
 */
import t from 'tap'
import { ERROR_NUMBERS, errorPacket, STORING, type Statement } from '../chaos/mysql-errors.ts'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { type Broker, startBroker } from '../support/broker.ts'
import { onEachDatabase, onMysql } from '../support/databases.ts'
import { refusing } from '../support/refusing-trigger.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'

async function standing(broker: Broker, configId: string) {
  const { body } = await broker.admin('GET', `/api/models/configs/${configId}`)
  return body.credential as { state: string; fingerprint: string }
}

onEachDatabase(t, 'a row that cannot be written for a while is written when it can be', async (t, db) => {
  const broker = await startBroker(t, { databaseUrl: db.url })
  const { configId } = await broker.connect()
  const before = await standing(broker, configId)
  const tokens = 'new.oauth_access_token <> old.oauth_access_token'
  const allow = await refusing(t, broker, db, 'before update on model_configs', tokens)
  const refresh = await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  t.equal(refresh.status, 200, 'callers go on with what is in memory')
  t.match(await standing(broker, configId), { state: 'refreshing', fingerprint: before.fingerprint })
  await allow()
  await waitUntil(async () => (await standing(broker, configId)).state === 'active')
  t.not((await standing(broker, configId)).fingerprint, before.fingerprint)
  t.match(broker.sandbox.counts, { refreshRequests: 1, reusesDetected: 0 })
})

onEachDatabase(t, 'tokens are stored although nothing can be told of it', async (t, db) => {
  const broker = await startBroker(t, { databaseUrl: db.url })
  const { configId } = await broker.connect()
  const before = await standing(broker, configId)
  await refusing(t, broker, db, 'before insert on audit_events')
  await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  await waitUntil(async () => (await standing(broker, configId)).state === 'active')
  t.not((await standing(broker, configId)).fingerprint, before.fingerprint)
  t.equal(broker.sandbox.counts.reusesDetected, 0)
})

onMysql(t, 'every error number, at the update, at the event and at the commit', async (t, db) => {
  const proxy = await TcpProxy.to(db.url)
  t.teardown(() => proxy.close())
  const broker = await startBroker(t, { databaseUrl: proxy.via(db.url) })
  const configs = await Promise.all(
    Array.from({ length: 8 }, async (_, index) => (await broker.connect(`config ${index}`)).configId),
  )
  const statements = Object.keys(STORING) as Statement[]
  const left = Object.fromEntries(statements.map((name) => [name, [...ERROR_NUMBERS]]))
  proxy.tap = {
    toServer(chunk) {
      const text = chunk.toString('latin1')
      const errno = statements.map((name) => STORING[name].test(text) && left[name]?.shift()).find(Boolean)
      return errno ? errorPacket(errno) : undefined
    },
  }
  while (statements.some((name) => left[name]?.length)) {
    await Promise.all(configs.map((id) => broker.admin('POST', `/api/models/configs/${id}/refresh`)))
  }
  const isStored = async (id: string) => (await standing(broker, id)).state === 'active'
  for (const id of configs) await waitUntil(() => isStored(id))
  const database = openTables(t, broker, db)
  const rows = await database.run((db) => db.selectFrom('model_configs').select('oauth_version').execute())
  const stored = rows.reduce((sum, { oauth_version: version }) => sum + version - 1, 0)
  const { refreshGrants, reusesDetected } = broker.sandbox.counts
  t.same({ stored, reusesDetected }, { stored: refreshGrants, reusesDetected: 0 })
  // How many of the numbers one refresh meets is a matter of pauses; that none was left over is said above.
  t.ok(refreshGrants >= configs.length)
})
