import t from 'tap'
import { createLog } from '../../src/base/log.ts'
import { ChangeWatcher, noteChange } from '../../src/storage/changes.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { onEachDatabase } from '../support/databases.ts'
import { configRow, open } from './fixtures/open.ts'

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
