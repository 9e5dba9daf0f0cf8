/** A backend of the first requirement keeps `model_configs` of its own: as its migrations make the table. */
import { readdirSync } from 'node:fs'
import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { FernetKey } from '../../src/vault/fernet.ts'
import { startBroker } from '../support/broker.ts'
import { onMysql } from '../support/databases.ts'
import { sitDown } from '../support/desk.ts'

const TABLE = `
create table model_configs (
  id bigint auto_increment primary key,
  name varchar(255) unique not null,
  provider varchar(50) not null,
  base_url text not null,
  api_key text not null,
  models json not null,
  is_active boolean default true,
  created_at datetime(6) default current_timestamp(6),
  updated_at datetime(6) default current_timestamp(6) on update current_timestamp(6)
) character set utf8mb4 collate utf8mb4_unicode_ci`
const OAUTH = `
alter table model_configs
  add oauth_access_token text, add oauth_token_type varchar(50), add oauth_refresh_token text,
  add oauth_expires_at bigint, add oauth_scope varchar(500), add oauth_metadata json`

const THEIR_KEY = Buffer.alloc(32, 7).toString('base64url').concat('=')
const sealed = (text: string, key = THEIR_KEY) => new FernetKey(key).encrypt(text)
const MODELS = JSON.stringify([{ model_id: 'm', support_vision: true, support_thinking: false }])
const LATER = 4_000_000_000_000
const login = (access: string, refresh: string | null) => ({
  oauth_access_token: access,
  oauth_refresh_token: refresh,
  oauth_token_type: 'Bearer',
  oauth_expires_at: LATER,
  oauth_scope: 'openid profile email model.completion',
  oauth_metadata: JSON.stringify({ resource_url: 'portal.qwen.ai' }),
})

async function theirDatabase(t: Test, url: string, statements: readonly string[]) {
  const connection = await createConnection(url)
  t.teardown(() => connection.end())
  for (const statement of statements) await connection.query(statement)
  return {
    insert: (row: object) => connection.query('insert into model_configs set ?', [row]),
    all: async () => {
      const [tables] = await connection.query('show tables')
      const [rows] = await connection.query('select * from model_configs order by id')
      return JSON.stringify([tables, rows])
    },
  }
}

const run = (t: Test, args: readonly string[], env: Record<string, string>) =>
  sitDown(t).run(args, '', { LANG: 'en_US.UTF-8', ...env })

onMysql(
  t,
  'rows, keys and tokens come over, plain or sealed, and nothing there is changed',
  async (t, { url }) => {
    const theirs = await theirDatabase(t, url, [TABLE, OAUTH])
    const key = {
      base_url: 'https://models.example/v1',
      api_key: 'sk-plain-canary-0123456789',
      models: MODELS,
    }
    const qwen = { provider: 'qwen', base_url: '', api_key: '', models: MODELS }
    const rows = [
      { name: 'plain', provider: 'openai', ...key },
      {
        name: '封存',
        provider: 'openai',
        ...key,
        api_key: sealed('sk-sealed-canary-0123456789'),
        is_active: false,
      },
      { name: 'no file of this name', provider: 'an-unknown-vendor', ...key },
      { name: 'token', ...qwen, ...login('at-plain-canary-0123456789', 'rt-plain-canary-0123456789') },
      {
        name: 'sealed token',
        ...qwen,
        ...login(sealed('at-sealed-canary-0123456789'), sealed('rt-sealed-canary-0123456789')),
      },
      { name: 'no refresh token', ...qwen, ...login('at-lonely-canary-0123456789', null) },
      { name: 'logged out', ...qwen },
      {
        name: 'lost key',
        provider: 'openai',
        ...key,
        api_key: sealed('sk-lost', Buffer.alloc(32, 9).toString('base64url').concat('=')),
      },
      { name: 'plain http', provider: 'openai', ...key, base_url: 'http://models.example/v1' },
      { name: 'no list', provider: 'openai', ...key, models: '{}' },
      { name: 'unknown', ...qwen, provider: 'nobody' },
      { name: 'evil\u001b[2J', provider: 'openai', ...key },
    ]
    for (const row of rows) await theirs.insert(row)
    const before = await theirs.all()

    const DATA_DIR = t.testdir()
    const env = { DATA_DIR, THEIRS: url, THEIR_KEY }
    const words = ['import', 'env:THEIRS', '--encryption-key', 'env:THEIR_KEY']
    const first = await run(t, [...words, '--json'], env)
    t.equal(first.code, 1, 'some were left out')
    const outcomes = JSON.parse(first.out)
    t.match(outcomes, [
      { name: 'plain', provider: 'openai', outcome: 'came over' },
      { name: '封存', outcome: 'came over' },
      { name: 'no file of this name', provider: 'openai', outcome: 'came over' },
      { name: 'token', provider: 'qwen', outcome: 'came over' },
      { name: 'sealed token', outcome: 'came over' },
      { name: 'no refresh token', outcome: 'came over' },
      { name: 'logged out', outcome: 'came over, login needed' },
      { name: 'lost key', outcome: 'left out', reason: /api_key is sealed with another key/ },
      { name: 'plain http', outcome: 'left out', reason: /base_url must be an https URL/ },
      { name: 'no list', outcome: 'left out', reason: /models/ },
      { name: 'unknown', outcome: 'left out', reason: /provider/ },
      { name: /^evil/, outcome: 'left out', reason: /name/ },
    ])
    t.match(first.err, /through the broker only/)
    t.notMatch(first.out + first.err, /canary|sk-lost/)
    const again = await run(t, words, env)
    t.match(again.out, /^plain +openai +already here/m)
    t.notMatch(again.out, '\u001b', 'what they wrote rewrites no terminal')
    t.equal(await theirs.all(), before)

    const broker = await startBroker(t, { env: { DATA_DIR } })
    const { items } = (await broker.admin('GET', '/api/models/configs?page_size=100')).body
    t.equal(items.length, 7)
    t.match(items[0], {
      base_url: 'https://models.example/v1',
      models: [{ model_id: 'm', support_vision: true }],
    })
    t.match(items[1], { is_active: false })
    const shown = { state: 'active', expires_at: LATER, resource_url: 'portal.qwen.ai', fingerprint: /^\w+$/ }
    t.match(items[3].credential, shown)
    t.match(items[4].credential, shown)
    t.match(items[6].credential, { state: 'missing', next_action: 'login' })
    for (const [name, token] of [
      ['token', 'at-plain-canary-0123456789'],
      ['sealed token', 'at-sealed-canary-0123456789'],
      ['no refresh token', 'at-lonely-canary-0123456789'],
    ] as const)
      t.equal(
        (await run(t, ['token', '--config', name], { DATA_DIR, ALLOW_TOKEN_READING: 'true' })).out,
        `${token}\n`,
      )
  },
)

onMysql(
  t,
  'a table from before there were logins, by its address, with keys sealed as ours',
  async (t, { url }) => {
    const theirs = await theirDatabase(t, url, [TABLE])
    await theirs.insert({
      name: 'a',
      provider: 'openai',
      base_url: 'https://models.example/v1',
      api_key: sealed('sk-ours-canary-0123456789'),
      models: MODELS,
    })
    const env = { DATA_DIR: t.testdir(), TOKEN_ENCRYPTION_KEY: THEIR_KEY }
    const said = await run(t, ['import', url], env)
    t.match(said, { code: 0, out: 'a  openai  came over  \n', err: '' })
  },
)

onMysql(t, 'a start on such a database says so in one line, and writes nothing there', async (t, { url }) => {
  const theirs = await theirDatabase(t, url, [TABLE, OAUTH])
  const before = await theirs.all()
  for (const command of ['serve', 'migrate', 'configs']) {
    const said = await run(t, [command], { DATA_DIR: t.testdir(), DATABASE_URL: url, PORT: '0' })
    t.equal(said.code, 1, command)
    const lines = said.err
      .trim()
      .split('\n')
      .filter((line) => !line.includes('WARN') && !line.startsWith('{'))
    t.match(
      lines,
      [/^token-broker: DATABASE_URL: its model_configs is another program's.* import mysql:/],
      command,
    )
    t.equal(lines.length, 1, said.err)
    t.equal(await theirs.all(), before, command)
  }
})

onMysql(t, 'what is not there, or is ours already', async (t, { url }) => {
  const DATA_DIR = t.testdir()
  const mistakes: [address: string, says: RegExp][] = [
    [url, /refuses: Table .*model_configs' doesn't exist/],
    [url.replace(/[^/]+$/, 'nobody_has_this'), /refuses: /],
    ['mysql://user:hunter2@:/x', /the address must be|the address: /],
    ['env:NOT_SET', /NOT_SET.* is not set/],
    ['mysql://user:hunter2@127.0.0.1:1/name', /database cannot be reached/i],
  ]
  for (const [address, says] of mistakes) {
    const said = await run(t, ['import', address], { DATA_DIR })
    t.not(said.code, 0, address)
    t.match(said.err, says)
    t.notMatch(said.err, /hunter2|\n {4}at /)
  }
  t.same(readdirSync(DATA_DIR), [], 'nothing was begun')
  const { code } = await run(t, ['migrate'], { DATA_DIR, DATABASE_URL: url })
  t.equal(code, 0)
  await run(t, ['configs'], { DATA_DIR, DATABASE_URL: url })
  const broker = await startBroker(t, { databaseUrl: url })
  await broker.admin('POST', '/api/models/configs', {
    name: 'a',
    provider: 'openai',
    base_url: 'https://models.example/v1',
    api_key: 'sk-ours-canary-0123456789',
    models: [],
  })
  t.match((await run(t, ['import', url], { DATA_DIR })).err, /a broker's own database/)
})
