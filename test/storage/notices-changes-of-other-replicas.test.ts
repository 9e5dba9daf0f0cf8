import type { Kysely } from 'kysely'
import t, { type Test } from 'tap'
import { ApiKeyStore } from '../../src/api-key/api-key-store.ts'
import { ApiKeys } from '../../src/api-key/api-keys.ts'
import type { BrokerError } from '../../src/base/errors.ts'
import { createLog } from '../../src/base/log.ts'
import { ChangeWatcher, noteChange } from '../../src/storage/changes.ts'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import type { Tables } from '../../src/storage/tables.ts'
import { Turns, takeTurn } from '../../src/storage/turns.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { SEALS } from '../support/tables.ts'
import { configRow, counting, open } from './fixtures/open.ts'

const log = createLog('silent')

/** Resolves with the next change; a watcher alone does not keep the process alive. */
function nextChange(watcher: ChangeWatcher): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('no change was heard')), 5_000)
    watcher.onChange(() => {
      clearTimeout(late)
      resolve()
    })
  })
}

onEachDatabase(t, 'a change of one replica reaches the other within 5 s', async (t, where) => {
  const dir = t.testdir()
  const [mine, theirs] = [open(t, where, dir), open(t, where, dir)]
  await migrate(mine)
  const watcher = new ChangeWatcher(mine, log)
  t.teardown(() => watcher.stop())
  await watcher.start()
  const heard = nextChange(watcher)

  await theirs.transaction(async (trx) => {
    await trx.insertInto('model_configs').values(configRow('theirs')).execute()
    await noteChange(trx)
  })
  await heard
  t.equal(watcher.seen, 1)
})

onEachDatabase(t, 'it listens for changes, not for looks', async (t, where) => {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const watcher = new ChangeWatcher(database, log)
  let heard = 0
  watcher.onChange(() => {
    heard += 1
  })
  await watcher.look()
  await watcher.look()
  t.equal(heard, 0, 'also not the first look')

  const failing = database.transaction(async (trx) => {
    await noteChange(trx)
    throw new Error('rolled back')
  })
  await t.rejects(failing)
  await watcher.look()
  t.equal(heard, 0, 'a change that was rolled back is none')

  await database.transaction(noteChange)
  await database.transaction(noteChange)
  await watcher.look()
  t.equal(heard, 1, 'two changes between two looks are heard together')
  watcher.noticed()
  t.equal(heard, 2, 'its own change it need not look for')
  t.equal(watcher.seen, 2)
})

onEachDatabase(t, 'what an overtaken look saw is neither a change nor a step back', async (t, where) => {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const late = Promise.withResolvers<void>()
  const delays = [undefined, late.promise]
  const run: Database['run'] = async (work) => {
    const delay = delays.shift()
    const answer = await database.run(work)
    await delay
    return answer
  }
  const watcher = new ChangeWatcher({ ...database, run, nowMs: database.nowMs }, log)
  const heard: string[] = []
  watcher.onChange(() => heard.push('changed'))
  watcher.onWentBack(() => heard.push('went back'))
  await watcher.look()

  const overtaken = watcher.look()
  await database.transaction(noteChange)
  await watcher.look()
  late.resolve()
  await overtaken
  await watcher.look()
  t.strictSame(heard, ['changed'])
})

/** What a watcher hears in one look: ids (those of one change are in no order), 'anything', or nothing. */
async function heardBy(watcher: ChangeWatcher, look = () => watcher.look()): Promise<string[]> {
  const heard: string[] = []
  watcher.onChange((changed) => {
    const ids = changed?.map(({ id }) => id).sort()
    heard.push(ids?.join(' ') ?? 'anything')
  })
  await look()
  return heard
}

/** Numbers and ids as they are in the log. */
function logOf(database: Database) {
  return database.run((db) => db.selectFrom('change_log').selectAll().orderBy('number').execute())
}

async function watched(t: Test, where: TestDatabase) {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const watcher = new ChangeWatcher(database, log)
  await watcher.look()
  const change = (...ids: string[]) =>
    database.transaction((trx) => noteChange(trx, ids.length > 0 ? ids.map(keyOf) : undefined))
  return { database, watcher, change }
}

function keyOf(id: string) {
  return { kind: 'key' as const, id }
}

onEachDatabase(t, 'what changed is known by id, and nothing else is forgotten', async (t, where) => {
  const { watcher, change } = await watched(t, where)
  const { seen } = watcher
  await change('a')
  await change('b', 'c')
  t.same(await heardBy(watcher), ['a b c'])
  t.same(
    ['a', 'b', 'c', 'd'].map((id) => watcher.hasChanged(id, seen)),
    [true, true, true, false],
  )
  t.notOk(watcher.hasChanged('a', watcher.seen), 'what is read from now on is new')
  t.same(new Set(watcher.changedSince(seen, 'key')), new Set(['a', 'b', 'c']))
  t.same(watcher.changedSince(seen, 'config'), [])
  t.same(await heardBy(watcher), [], 'and heard of once')
})

onEachDatabase(
  t,
  'a replica of an earlier release, which raises the counter alone, changes anything',
  async (t, where) => {
    const { watcher, change } = await watched(t, where)
    const { seen } = watcher
    await change('a')
    await change()
    await change('b')
    t.same(await heardBy(watcher), ['anything'])
    t.ok(watcher.hasChanged('d', seen))
    t.equal(watcher.changedSince(seen, 'key'), undefined)
    await change('c')
    t.same(await heardBy(watcher), ['c'])
  },
)

onEachDatabase(t, 'another history, though it has come as far, is noticed', async (t, where) => {
  const { database, watcher, change } = await watched(t, where)
  const backTo = (number: number) =>
    database.transaction(async (trx) => {
      await trx.updateTable('change_counter').set({ value: number }).execute()
      await trx.deleteFrom('change_log').where('number', '>', number).execute()
    })
  await change('a')
  await change('b')
  t.same(await heardBy(watcher), ['a b'])
  await backTo(1)
  await change('c')
  t.same(await heardBy(watcher), ['anything'], 'as far')
  await backTo(1)
  await change('c')
  await change('d')
  t.same(await heardBy(watcher), ['anything'], 'further')
  await change('e')
  t.same(await heardBy(watcher), ['e'])
})

onEachDatabase(t, 'changes that are made at once are all heard of, each by its number', async (t, where) => {
  const { database, watcher, change } = await watched(t, where)
  const ids = Array.from({ length: 40 }, (_, n) => `id-${n}`)
  const heard = await heardBy(watcher, async () => {
    let isDone = false
    const changing = Promise.all(ids.map((id) => change(id))).then(() => {
      isDone = true
    })
    while (!isDone) {
      await watcher.look()
      await new Promise((resolve) => setImmediate(resolve))
    }
    await changing
    await watcher.look()
  })
  t.same(heard.join(' ').split(' ').sort(), [...ids].sort())
  t.same(
    (await logOf(database)).map(({ number }) => number),
    ids.map((_, place) => place + 1),
  )
})

onEachDatabase(
  t,
  'a key that is deleted among a thousand changes is refused from the next look on',
  async (t, where) => {
    const { database, watcher, change } = await watched(t, where)
    const elsewhere = new ApiKeyStore(database, new ChangeWatcher(database, log), SEALS)
    const { key, record } = await elsewhere.create({ name: 'short-lived' })
    const { counted, queries } = counting(database)
    const apiKeys = new ApiKeys(new ApiKeyStore(counted, watcher, SEALS), watcher)
    const others = async () => {
      for (let n = 0; n < 10; n += 1)
        await change(...Array.from({ length: 50 }, (_, index) => `other-${n}-${index}`))
    }
    await watcher.look()
    await apiKeys.authenticate(key)
    await others()
    await watcher.look()
    t.equal(apiKeys.peek(key)?.id, record.id)
    await elsewhere.delete(record.id)
    await others()
    t.equal(apiKeys.peek(key)?.id, record.id, 'nobody has told')
    t.equal(queries(), 1, 'and what others are of is no reason to ask')
    await watcher.look()
    t.equal(apiKeys.peek(key), undefined)
    const refusal = await apiKeys.authenticate(key).catch((error: BrokerError) => error)
    t.match(refusal, { status: 401 })
  },
)

t.test('a transaction that changes several things one after the other takes one turn', async (t) => {
  const turns = new Turns()
  const trx = {}
  const db = { transaction: () => ({ execute: (work: (one: object) => unknown) => work(trx) }) }
  await turns.transaction(db as unknown as Kysely<Tables>, async (trx) => {
    let turn = 0
    for (const next of [1, 2]) void takeTurn(trx).then(() => (turn = next))
    await new Promise((resolve) => setImmediate(resolve))
    t.equal(turn, 2, 'it does not wait for itself')
  })
})

onEachDatabase(
  t,
  'the log keeps the last ten thousand changes, and who is further behind forgets everything',
  async (t, where) => {
    const { database, watcher, change } = await watched(t, where)
    await change('first')
    await database.transaction(async (trx) => {
      await trx.updateTable('change_counter').set({ value: 10_098 }).execute()
    })
    await change('before')
    t.equal((await logOf(database)).length, 2)
    await change('last')
    t.same(
      (await logOf(database)).map(({ row_id }) => row_id),
      ['before', 'last'],
    )
    t.same(await heardBy(watcher), ['anything'])
  },
)

onEachDatabase(t, "its clock is the database's", async (t, where) => {
  const database = open(t, where, t.testdir())
  await migrate(database)
  const watcher = new ChangeWatcher(database, log)
  await watcher.look()
  t.ok(Math.abs(watcher.clock() - Date.now()) < 2_000)
  t.ok(watcher.silentForMs < 5_000)
})

t.test('a database that is down does not stop it', async (t) => {
  const database = open(t, { kind: 'SQLite', url: 'sqlite:' }, t.testdir())
  await t.rejects(new ChangeWatcher(database, log).start(), 'before the tables are there')
  await migrate(database)
  const watcher = new ChangeWatcher(database, log)
  t.teardown(() => watcher.stop())
  await watcher.start()
  const heard = nextChange(watcher)
  await database.run((db) => db.schema.alterTable('change_counter').renameTo('away').execute())
  await new Promise((done) => setTimeout(done, 1_200))
  t.equal(watcher.seen, 0)
  await database.run((db) => db.schema.alterTable('away').renameTo('change_counter').execute())
  await database.transaction(noteChange)
  await heard
  t.equal(watcher.seen, 1)
})

t.test('the time that it tells is in whole milliseconds', async (t) => {
  const run = async () => [{ value: 1, now: Date.now() + 0.5 }]
  const watcher = new ChangeWatcher({ run } as unknown as Database, log)
  await watcher.look()
  t.ok(Number.isInteger(watcher.clock()))
})
