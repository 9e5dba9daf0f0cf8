/**
 * A server's SQL mode is its operator's choice, and under some of them the driver's escaping lets text become SQL.
 */
import { sql } from 'kysely'
import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import type { Database } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { type Random, seeded } from '../chaos/random.ts'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { type Broker, call, startBroker } from '../support/broker.ts'
import { onMysql, onOwnMysql, type TestDatabase } from '../support/databases.ts'
import { configRow, open } from './fixtures/open.ts'

const SEED = Number(process.env['SEED'] ?? 1)
const MODES = [
  'NO_BACKSLASH_ESCAPES',
  'ANSI_QUOTES',
  'NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE,PAD_CHAR_TO_FULL_LENGTH',
  'TRADITIONAL',
  '',
]
const BREAKS = [
  "'",
  '"',
  '`',
  '\\',
  "\\'",
  "''",
  '\\\\',
  "'\\''",
  '?',
  '%',
  '_',
  ':x',
  '#',
  '-- ',
  '/*',
  '*/',
  ';',
]
const CLAUSES = [
  ' or 1=1',
  ' or sleep(0)',
  ' union select 1',
  ')',
  ' and 1=2',
  ' limit 9',
  'x',
  '0x27',
  '\u{1F511}',
  '配',
  '縗',
  '\u00bf\u005c',
]

function hostile(random: Random): string {
  const parts = ['x', random.pick(BREAKS)]
  for (let more = random.whole(5); more >= 0; more -= 1) parts.push(random.pick([...BREAKS, ...CLAUSES]))
  return `${parts.join('')}${random.pick([' -- ', '#', "'", '"', '\\', 'z'])}${random.whole(1e6)}`.trim()
}

onOwnMysql(t, 'through the API', [[`--sql-mode=${MODES[0]}`]], async (t, { server, schema }) => {
  const schemaUnder = async (mode: string) => {
    const connection = await createConnection(server.url)
    await connection.query(`set global sql_mode = '${mode}'`)
    await connection.end()
    return schema()
  }
  for (const mode of MODES) {
    await t.test(mode || 'none', async (t) => {
      const broker = await startBroker(t, { databaseUrl: await schemaUnder(mode) })
      const victim = await call(`${broker.origin}/api/sandbox/oauth/device-code`, 'POST', {})
      t.equal(victim.status, 200)
      const random = seeded(SEED)
      const texts = [
        "x' or 1=1 -- ",
        "\\' or 1=1 -- ",
        "x\\' or 1=1 #",
        '" or ""="',
        ...Array.from({ length: 6 }, () => hostile(random)),
      ]
      const made = new Set<string>()
      for (const text of texts) await tryEverywhere(t, broker, text, made)
    })
  }
  await t.test('and what is too long is refused, not cut off', async (t) => {
    const { run } = await migrated(t, { kind: 'MySQL', url: await schemaUnder('') })
    const row = configRow('long', { provider: 'p'.repeat(51) })
    await t.rejects(run((db) => db.insertInto('model_configs').values(row).execute()))
  })
})

/** Every statement that takes text of a client. */
async function tryEverywhere(t: Test, broker: Broker, text: string, made: Set<string>): Promise<void> {
  const { origin, admin } = broker
  const inUrl = encodeURIComponent(text)
  const status = await call(`${origin}/api/sandbox/oauth/status?session_id=${inUrl}`, 'GET')
  t.match([status.status, status.body.code], [404, 'session_not_found'], text)
  const byCode = await call(`${origin}/api/sandbox/oauth/status?device_code=${inUrl}`, 'GET')
  t.equal(byCode.status, 400, text)
  t.equal((await call(`${origin}/login/${inUrl}`, 'GET')).status < 500, true, text)
  // Not the very text: whatever was a key once is looked for as a secret in every answer after it.
  const asKey = `key ${text.replace(/[^ -~]/g, '')}`
  t.equal((await call(`${origin}/v1/models`, 'GET', undefined, asKey)).status, 401, text)

  const models = [{ model_id: text, support_vision: false, support_thinking: false }]
  const fields = {
    name: text,
    provider: 'openai',
    base_url: 'https://api.openai.com/v1',
    api_key: 'sk-1',
    models,
  }
  const config = await admin('POST', '/api/models/configs', { ...fields, aliases: { alias: text } })
  t.equal(config.status, made.has(text) ? 409 : 201, JSON.stringify(config.body))
  made.add(text)
  t.equal((await admin('POST', '/api/models/configs', fields)).status, 409, text)
  const read = await admin('GET', `/api/models/configs/${config.body.id}`)
  t.match(read.body, { name: text, models, aliases: { alias: text } })
  const renamed = await admin('PUT', `/api/models/configs/${config.body.id}`, {
    name: `${text}+`,
    updated_at: read.body.updated_at,
  })
  t.equal(renamed.body.name, `${text}+`)
  const key = await admin('POST', '/api/keys', {
    name: text,
    models: [text],
    model_config_ids: [config.body.id],
  })
  t.equal(key.status, 201)
  const keys = await admin('GET', '/api/keys')
  t.ok(
    keys.body.items.some(
      (item: { name: string; models: string[] }) => item.name === text && item.models[0] === text,
    ),
  )

  const found = await admin('GET', `/api/models/configs?q=${inUrl}`)
  t.same(
    found.body.items.map(({ name }: { name: string }) => name),
    [`${text}+`],
  )
  for (const path of [`/api/models/configs?provider=${inUrl}`, `/api/audit?config_id=${inUrl}`]) {
    const list = await admin('GET', path)
    t.match([list.status, list.body.total ?? list.body.items?.length], [200, 0], path)
  }
  t.equal((await admin('GET', `/api/models/configs/${inUrl}`)).status, 404, text)
  t.equal((await admin('PUT', `/api/models/configs/${inUrl}`, { name: 'mine' })).status, 404, text)
  t.equal((await admin('DELETE', `/api/models/configs/${inUrl}`)).status, 404, text)
  t.equal((await admin('DELETE', `/api/keys/${inUrl}`)).status, 404, text)
  t.equal((await admin('GET', '/api/models/configs')).body.total, made.size, text)
}

async function migrated(t: Test, where: TestDatabase): Promise<Database> {
  const database = open(t, where, t.testdir())
  await migrate(database)
  return database
}

onMysql(t, 'where a proxy lost our session, too', async (t, where) => {
  const { run } = await migrated(t, where)
  const random = seeded(SEED)
  for (const lost of [
    "sql_mode = 'NO_BACKSLASH_ESCAPES'",
    "sql_mode = ''",
    'names gbk',
    "sql_mode = 'ANSI_QUOTES'",
  ]) {
    const texts = [
      ...Array.from({ length: 40 }, () => hostile(random)),
      "\\' or 1=1 -- ",
      '\\"',
      "縗' or 1=1 #",
    ]
    await run((db) =>
      db.connection().execute(async (one) => {
        await sql.raw(`set ${lost}`).execute(one)
        for (const text of texts) {
          const { rows } = await sql<{ bytes: string; other: number }>`
            select hex(convert(${text} using utf8mb4)) as bytes, ${1} as other`.execute(one)
          t.same(
            rows,
            [{ bytes: Buffer.from(text).toString('hex').toUpperCase(), other: 1 }],
            `${lost}: ${text}`,
          )
        }
        await sql.raw(`set names utf8mb4 collate utf8mb4_bin, sql_mode = 'STRICT_TRANS_TABLES'`).execute(one)
      }),
    )
  }
})

onMysql(t, 'a connection that could not be set up is not used', async (t, where) => {
  const proxy = await TcpProxy.to(where.url)
  t.teardown(() => proxy.close())
  const seen: string[] = []
  let isLost = true
  proxy.tap = {
    toServer(chunk) {
      const statement = chunk.toString('latin1', 5)
      if (/^(set|select)/.test(statement)) seen.push(statement.slice(0, 9))
      return !(isLost && statement.startsWith('set '))
    },
  }
  const { run } = open(t, { ...where, url: proxy.via(where.url) }, t.testdir())
  const ask = () => run((db) => sql`select 1 as one`.execute(db))
  await t.rejects(ask(), { code: 'storage_unavailable' })
  t.same(seen, ['set names'], 'nothing else was said on it')
  isLost = false
  await ask()
  t.same(seen, ['set names', 'set names', 'select 1 '])
})
