/**
 * SQLite's write lock may be held by another process for seconds: who writes waits for it, nobody else does.
 */
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import SqliteDatabase from 'better-sqlite3'
import t, { type Test } from 'tap'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { configRow, open } from './fixtures/open.ts'

async function lockedElsewhere(t: Test) {
  const dir = t.testdir()
  const database = open(t, { kind: 'SQLite', url: 'sqlite:' }, dir)
  await migrate(database)
  const other = new SqliteDatabase(join(dir, 'token-broker.sqlite'))
  t.teardown(() => other.close())
  other.exec('begin immediate')
  return { database, other }
}

function names({ run }: Database): Promise<string[]> {
  return run(async (db) => {
    const rows = await db.selectFrom('model_configs').select('name').orderBy('name').execute()
    return rows.map(({ name }) => name)
  })
}

const WRITES: Record<string, (database: Database, name: string) => Promise<unknown>> = {
  'a statement': ({ run }, name) =>
    run((db) => db.insertInto('model_configs').values(configRow(name)).execute()),
  'a transaction': ({ transaction }, name) =>
    transaction((trx) => trx.insertInto('model_configs').values(configRow(name)).execute()),
}

for (const [kind, write] of Object.entries(WRITES)) {
  t.test(`${kind} waits; reads and the process go on`, async (t) => {
    const { database, other } = await lockedElsewhere(t)
    const order: string[] = []
    const writing = write(database, 'mine').then(() => order.push('written'))
    for (let turn = 0; turn < 200; turn += 1) {
      await nextTurn()
      await names(database)
    }
    order.push('200 reads')
    other.exec('commit')
    await writing
    t.same(order, ['200 reads', 'written'])
    t.same(await names(database), ['mine'])
  })
}

const WRITERS = 300

/** Rows written between two turns of the event loop, until all are there. */
async function mostInOneTurn(other: SqliteDatabase.Database): Promise<number> {
  const count = other.prepare<[], number>('select count(*) from model_configs').pluck()
  let most = 0
  for (let before = 0, written = 0; written < WRITERS; before = written) {
    await nextTurn()
    written = count.get() ?? 0
    most = Math.max(most, written - before)
  }
  return most
}

for (const [kind, write] of Object.entries(WRITES)) {
  t.test(`${WRITERS} times ${kind}: once the lock is free the process goes on between them`, async (t) => {
    const { database, other } = await lockedElsewhere(t)
    const writing = Array.from({ length: WRITERS }, (_, index) => write(database, String(index)))
    await sleep(100) // all have met the lock, and some more than once
    other.exec('commit')
    const most = await mostInOneTurn(other)
    await Promise.all(writing)
    t.ok(most < WRITERS / 10, `${most} in one turn`)
  })
}

t.test(`${WRITERS} transactions at once, and no lock elsewhere: the process goes on, too`, async (t) => {
  const { database, other } = await lockedElsewhere(t)
  other.exec('commit')
  const writing = Array.from({ length: WRITERS }, (_, index) =>
    WRITES['a transaction']?.(database, String(index)),
  )
  const most = await mostInOneTurn(other)
  await Promise.all(writing)
  t.ok(most < WRITERS / 10, `${most} in one turn`)
})

t.test('a transaction has the connection to itself, with many at once', async (t) => {
  const { database, other } = await lockedElsewhere(t)
  let inside = 0
  let most = 0
  const work = Array.from({ length: 30 }, (_, index) =>
    index % 3 === 0
      ? WRITES['a statement']?.(database, `s${index}`)
      : database.transaction(async (trx) => {
          inside += 1
          most = Math.max(most, inside)
          await trx
            .insertInto('model_configs')
            .values(configRow(`a${index}`))
            .execute()
          await nextTurn()
          await trx
            .insertInto('model_configs')
            .values(configRow(`b${index}`))
            .execute()
          inside -= 1
          if (index % 3 === 2) throw new Error('undone')
        }),
  )
  setTimeout(() => other.exec('rollback'), 50)
  const done = await Promise.allSettled(work)
  t.equal(done.filter(({ status }) => status === 'rejected').length, 10)
  t.equal(most, 1)
  t.equal((await names(database)).length, 10 + 20, 'what was undone left nothing, and took nobody along')
})
