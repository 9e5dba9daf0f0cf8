/**
 * Whatever number a server answers with, it is `storage_unavailable`; deadlocks are tried again; and a connection to a
 * server that takes no writes is left.
 */
import { sql } from 'kysely'
import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { BrokerError } from '../../src/base/errors.ts'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { onMysql, type TestDatabase } from '../support/databases.ts'
import { configRow, open } from './fixtures/open.ts'

const READ_ONLY = [1290, 1792, 1836, 1047]
const OTHERS = [
  ...[
    1015, 1021, 1030, 1036, 1040, 1053, 1105, 1114, 1142, 1146, 1180, 1205, 1223, 1317, 1364, 1406, 1412,
    1526,
  ],
  ...[1614, 1689, 1705, 1712, 1785, 1837, 1927, 1969, 2013, 3024, 3100, 3101, 3572, 3819, 4031, 12345, 65000],
]

/** A server that answers an UPDATE of a row with whatever error its row asks for. */
async function withFaults(t: Test, where: TestDatabase) {
  const database = open(t, where, t.testdir())
  await migrate(database)
  await database.run((db) => db.insertInto('model_configs').values(configRow('a')).execute())
  const admin = await createConnection(where.url)
  t.teardown(() => admin.end())
  await admin.query('create table fault (number int, times int) engine = MyISAM')
  await admin.query('insert into fault values (0, 0)')
  await admin.query(`create trigger fault before update on model_configs for each row begin
    declare wanted int;
    select number into wanted from fault where times > 0;
    if wanted is not null then
      update fault set times = times - 1;
      signal sqlstate 'HY000' set mysql_errno = wanted, message_text = 'hunter2';
    end if;
  end`)
  const answer = (number: number, times = 1) =>
    admin.query('update fault set number = ?, times = ?', [number, times])
  return { database, answer }
}

function write({ run }: Database) {
  return run((db) =>
    db.updateTable('model_configs').set({ oauth_version: 2 }).where('id', '=', 'id-a').execute(),
  )
}

async function connectionOf({ run }: Database): Promise<number | undefined> {
  const { rows } = await run((db) => sql<{ id: number }>`select connection_id() as id`.execute(db))
  return rows[0]?.id
}

onMysql(t, 'every number', async (t, where) => {
  const { database, answer } = await withFaults(t, where)
  for (const number of [...READ_ONLY, ...OTHERS]) {
    await answer(number)
    const before = await connectionOf(database)
    const error = await write(database).then(
      () => undefined,
      (problem: unknown) => problem,
    )
    t.ok(error instanceof BrokerError, `${number}: ${error}`)
    t.match(error, { code: 'storage_unavailable', status: 503 }, String(number))
    const { detail } = error as BrokerError
    t.match(detail, /^[a-z ]{4,} \(\d+\)$/, 'its cause in words')
    t.notMatch(detail, /hunter2/)
    const after = await connectionOf(database)
    if (READ_ONLY.includes(number)) t.not(after, before, `${number}: another connection`)
  }
  await t.rejects(
    database.run((db) => db.insertInto('model_configs').values(configRow('a')).execute()),
    { name: 'DuplicateError' },
  )
})

onMysql(t, 'a deadlock is tried again, a statement or a transaction', async (t, where) => {
  const { database, answer } = await withFaults(t, where)
  for (const number of [1213, 1020]) {
    await answer(number, 2)
    await write(database)
    await answer(number, 2)
    let begun = 0
    await database.transaction(async (trx) => {
      begun += 1
      await trx.updateTable('model_configs').set({ oauth_version: 3 }).where('id', '=', 'id-a').execute()
    })
    t.equal(begun, 3)
    await answer(number, 1_000)
    await t.rejects(write(database), { code: 'storage_unavailable' })
    await answer(number, 0)
  }
})

onMysql(t, 'also a connection that was in use meanwhile is left', async (t, where) => {
  const { database, answer } = await withFaults(t, where)
  const old: (number | undefined)[] = []
  await answer(1290)
  await database.run((db) =>
    db.connection().execute(async (one) => {
      const { rows } = await sql<{ id: number }>`select connection_id() as id`.execute(one)
      old.push(rows[0]?.id)
      await t.rejects(write(database))
      await sql`select 1`.execute(one)
    }),
  )
  t.notOk(old.includes(await connectionOf(database)))
})

onMysql(
  t,
  'nobody waits for a lock longer than for its statement, and nothing is written later',
  async (t, where) => {
    const { database } = await withFaults(t, where)
    const other = await createConnection(where.url)
    t.teardown(() => other.end())
    await other.query('begin')
    await other.query("select * from model_configs where id = 'id-a' for update")
    const error = await write(database).catch((problem: unknown) => problem)
    t.match(error, { code: 'storage_unavailable', detail: 'lock wait timeout (1205)' })
    await other.query('rollback')
    const row = await database.run((db) =>
      db.selectFrom('model_configs').select('oauth_version').executeTakeFirst(),
    )
    t.same(row, { oauth_version: 1 })
  },
)

onMysql(
  t,
  'a server that takes no writes from us is told, and found to take them again',
  async (t, where) => {
    const { database, answer } = await withFaults(t, where)
    await database.checkWritable()
    await answer(1290, 1)
    await t.rejects(write(database))
    await database.checkWritable()
    const root = await createConnection(process.env['MYSQL_TEST_URL'] ?? '')
    t.teardown(() => root.end())
    const schema = new URL(where.url).pathname.slice(1)
    const user = `w${schema.slice(-10)}`
    await root.query(`create user '${user}'@'%' identified by 'p'`)
    t.teardown(() => root.query(`drop user '${user}'@'%'`))
    await root.query(`grant all on ${schema}.* to '${user}'@'%'`)
    const url = Object.assign(new URL(where.url), { username: user, password: 'p' }).href
    const theirs = open(t, { ...where, url }, t.testdir())
    await theirs.checkWritable()
    t.pass('an ordinary user may ask')
  },
)
