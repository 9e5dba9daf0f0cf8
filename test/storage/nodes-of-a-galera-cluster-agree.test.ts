/** Three processes, each with a node of its own: what they write at the same moment, and what they are told of it. */
import { createConnection } from 'mysql2/promise'
import t from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { createLog } from '../../src/base/log.ts'
import { Secret } from '../../src/base/secret.ts'
import { CredentialStore } from '../../src/credential/credential-store.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { ChangeWatcher, noteChange } from '../../src/storage/changes.ts'
import type { Database } from '../../src/storage/database.ts'
import { MIGRATIONS, migrate } from '../../src/storage/migrate.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { changed, credential } from '../credential/fixtures/credential.ts'
import { type GaleraNode, missingForGalera, startGalera } from '../support/galera.ts'
import { testWhere } from '../support/test-where.ts'
import { waitUntil } from '../support/wait-until.ts'
import { configRow, open } from './fixtures/open.ts'

const SCHEMA = 'tb_galera'
const CHANGES = 10
const ROUNDS = 20

t.setTimeout(900_000)
testWhere(t, { name: 'three nodes', missing: missingForGalera }, async (t) => {
  const galera = await startGalera()
  if (!galera) throw new Error('there was a library a moment ago')
  t.teardown(() => galera.stop())
  const { nodes } = galera
  await nodes[0]?.query(`create database ${SCHEMA}`)
  await waitUntil(async () => (await Promise.all(nodes.map(hasSchema))).every(Boolean))
  const databases = nodes.map((_, own) => open(t, { kind: 'MySQL', url: urlOf(nodes, own) }, ''))

  await t.test('replicas that start at once change the tables once', async (t) => {
    const done = await Promise.all(databases.map(migrate))
    t.same(done.flat().sort(), Object.keys(MIGRATIONS))
    const counters = databases.map(({ run }) =>
      run((db) => db.selectFrom('change_counter').selectAll().execute()),
    )
    t.same(
      await Promise.all(counters),
      [0, 1, 2].map(() => [{ id: 1, value: 0 }]),
      'and all have them',
    )
  })

  await t.test('changes made at the same moment are all made, and every process hears of each', async (t) => {
    const listeners = await Promise.all(databases.map(listen))
    const ids = databases.flatMap((_, node) => Array.from({ length: CHANGES }, (_, i) => `${node}-${i}`))
    await Promise.all(
      ids.map((id) => databases[Number(id[0])]?.transaction((trx) => noteChange(trx, [{ kind: 'key', id }]))),
    )
    for (const { watcher, heard } of listeners) {
      await waitUntil(async () => {
        await watcher.look()
        return ids.every((id) => heard.includes(id))
      })
      t.same(heard.toSorted(), ids.toSorted(), 'of each once, and of nothing else')
    }
    t.same(listeners[1]?.heard, listeners[0]?.heard, 'in one order')
    t.same(listeners[2]?.heard, listeners[0]?.heard)
  })

  await t.test(
    'who leaves its node for one that is behind reads nothing there that was so before',
    async (t) => {
      const [ahead, behind, third] = nodes as [GaleraNode, GaleraNode, GaleraNode]
      const holder = await createConnection(behind.url)
      t.teardown(() => holder.end())
      for (const isSoonBack of [true, false]) {
        const proxy = await TcpProxy.to(ahead.url)
        const hosts = [proxy.via(ahead.url), behind.url, third.url].map((url) => new URL(url).host)
        const reader = open(t, { kind: 'MySQL', url: `mysql://root@${hosts.join(',')}/${SCHEMA}` }, '')
        const before = await counterOf(reader)
        await holder.query('flush tables with read lock') // it applies nothing meanwhile, and stops no other
        await databases[0]?.transaction((trx) => noteChange(trx))
        t.equal(await counterOf(reader), before + 1)
        t.equal((await behind.query(COUNTER))[0]?.['value'], before, 'it is behind')
        await proxy.close()
        if (isSoonBack) setTimeout(() => holder.query('unlock tables'), 500)
        // What was under way on the connection that is gone fails as it does anyway.
        const read = counterOf(reader).catch(() => counterOf(reader))
        t.equal(await read, before + 1, isSoonBack ? 'it waits' : 'it goes elsewhere')
        await holder.query('unlock tables')
      }
    },
  )

  await t.test('a lease goes to one process, also where its node has not heard of the others', async (t) => {
    const stores = databases.map(storeOn)
    const wins: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      const row = credential({ configId: await freshRow(databases, round) })
      const claims = stores.map((store, i) => store.claimLease(row, `process-${i}`, `attempt-${i}`))
      wins.push((await Promise.all(claims)).filter(Boolean).length)
    }
    t.same(
      wins,
      wins.map(() => 1),
    )
  })

  await t.test(
    'a credential that another node has just renewed is not claimed with what was read before',
    async (t) => {
      const [one, two] = databases.map(storeOn) as [CredentialStore, CredentialStore]
      for (let round = 0; round < ROUNDS; round += 1) {
        const before = credential({ configId: await freshRow(databases, ROUNDS + round) })
        t.equal(await one.claimLease(before, 'process-1', 'attempt-1'), true)
        // At the very moment at which the other learns that its own write is done.
        t.equal(await one.storeRenewed(before, changed(before, { version: 2 })), true)
        t.equal(await two.claimLease(before, 'process-2', 'attempt-2'), false)
      }
    },
  )
})

const COUNTER = `select value from ${SCHEMA}.change_counter`

async function counterOf({ run }: Database): Promise<number> {
  const { value } = await run((db) =>
    db.selectFrom('change_counter').select('value').executeTakeFirstOrThrow(),
  )
  return value
}

async function hasSchema(node: GaleraNode): Promise<boolean> {
  return (await node.query(`show databases like '${SCHEMA}'`)).length > 0
}

/** Its own node first, then the others. */
function urlOf(nodes: readonly GaleraNode[], own: number): string {
  const hosts = nodes.map(({ url }) => new URL(url).host)
  return `mysql://root@${[...hosts.slice(own), ...hosts.slice(0, own)].join(',')}/${SCHEMA}`
}

/** Its `heard` grows with each look. */
async function listen(database: Database): Promise<{ watcher: ChangeWatcher; heard: string[] }> {
  const watcher = new ChangeWatcher(database, createLog('silent'))
  const heard: string[] = []
  watcher.onChange((changes) => heard.push(...(changes ?? [{ id: 'anything' }]).map(({ id }) => id)))
  await watcher.look()
  return { watcher, heard }
}

function storeOn(database: Database): CredentialStore {
  const ring = new KeyRing([new Secret(BUILT_IN_ENCRYPTION_KEY)])
  return new CredentialStore(database, ring, new RowSeals(ring), new Map())
}

/** On all nodes. */
async function freshRow(databases: readonly Database[], round: number): Promise<string> {
  const row = configRow(`round-${round}`)
  await databases[round % databases.length]?.run((db) => db.insertInto('model_configs').values(row).execute())
  for (const { run } of databases) {
    const find = () =>
      run((db) => db.selectFrom('model_configs').select('id').where('id', '=', row.id).execute())
    await waitUntil(async () => (await find()).length > 0)
  }
  return row.id
}
