import { type FileHandle, open as openFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { waitUntil } from '../support/wait-until.ts'
import { configRow, open } from './fixtures/open.ts'

const SQLITE = { kind: 'SQLite', url: 'sqlite:' } as const

/** Flushes wait until they are let through, or fail. */
async function holdFlushes(t: Test) {
  const dir = t.testdir()
  const database = open(t, SQLITE, dir)
  await migrate(database)
  /** Another connection, which waits for none of ours. */
  const other = open(t, SQLITE, dir)
  const some = await openFile(`${dir}/token-broker.sqlite`)
  const files = Object.getPrototypeOf(some) as Pick<FileHandle, 'datasync'>
  await some.close()
  const flushes: { end(error?: Error): void }[] = []
  const { datasync } = files
  files.datasync = async function (this: FileHandle) {
    const told = Promise.withResolvers<void>()
    flushes.push({ end: (error) => (error ? told.reject(error) : told.resolve()) })
    await told.promise
    return datasync.call(this)
  }
  t.teardown(() => {
    files.datasync = datasync
  })
  return { database, other, flushes }
}

function insert(database: Database, name: string): Promise<string> {
  const row = database.run((db) => db.insertInto('model_configs').values(configRow(name)).execute())
  return row.then(
    () => 'done',
    (error) => error.code,
  )
}

function names(database: Database): Promise<string[]> {
  return database.run(async (db) => {
    const rows = await db.selectFrom('model_configs').select('name').orderBy('name').execute()
    return rows.map(({ name }) => name)
  })
}

t.test('what was written is told when it is on the disk; who reads later waits for nobody', async (t) => {
  const { database, flushes } = await holdFlushes(t)
  let isTold = false
  const writing = insert(database, 'a').finally(() => {
    isTold = true
  })
  await waitUntil(() => flushes.length === 1)
  t.same(await names(database), ['a'])
  t.notOk(isTold)
  flushes[0]?.end()
  t.equal(await writing, 'done')
})

t.test('who writes during a flush waits for the next, together with others', async (t) => {
  const { database, other, flushes } = await holdFlushes(t)
  const first = insert(database, 'a')
  await waitUntil(() => flushes.length === 1)
  const others = ['b', 'c', 'd'].map((name) => insert(database, name))
  await waitUntil(async () => (await names(other)).length === 4)
  t.equal(flushes.length, 1)
  flushes[0]?.end()
  t.equal(await first, 'done')
  await waitUntil(() => flushes.length === 2)
  flushes[1]?.end()
  t.same(await Promise.all(others), ['done', 'done', 'done'])
  t.equal(flushes.length, 2)
})

t.test('a transaction is one write, and one that is rolled back leaves nothing', async (t) => {
  const { database, flushes } = await holdFlushes(t)
  const both = database.transaction(async (trx) => {
    await trx.insertInto('model_configs').values(configRow('a')).execute()
    await trx.insertInto('model_configs').values(configRow('b')).execute()
    return 'both'
  })
  await waitUntil(() => flushes.length === 1)
  flushes[0]?.end()
  t.equal(await both, 'both')
  await t.rejects(
    database.transaction(async (trx) => {
      await trx.insertInto('model_configs').values(configRow('c')).execute()
      throw new Error('no')
    }),
    { message: 'no' },
  )
  t.same(await names(database), ['a', 'b'])
  t.equal(flushes.length, 1)
})

t.test(
  'a disk that fails is storage that is away, for those who wrote; the next write tries anew',
  async (t) => {
    const { database, other, flushes } = await holdFlushes(t)
    const writing = insert(database, 'a')
    await waitUntil(() => flushes.length === 1)
    const next = insert(database, 'b')
    await waitUntil(async () => (await names(other)).length === 2)
    flushes[0]?.end(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }))
    t.equal(await writing, 'storage_unavailable')
    await waitUntil(() => flushes.length === 2)
    flushes[1]?.end()
    t.equal(await next, 'done')
  },
)
