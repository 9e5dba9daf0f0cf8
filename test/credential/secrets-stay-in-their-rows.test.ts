/**
 * What somebody who can write to the database, and has no key, tries with the secrets in it: moves each sealed value to
 * another row or column, or has it sent elsewhere.
 */

import { sql } from 'kysely'
import t from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { Secret } from '../../src/base/secret.ts'
import { rowIdOf } from '../../src/onboarding/device-session.ts'
import type { Database } from '../../src/storage/database.ts'
import type { DeviceSessionRow } from '../../src/storage/tables.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { type Broker, call, login, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'

const RING = new KeyRing([new Secret(BUILT_IN_ENCRYPTION_KEY)])

const CONFIG = `
allow_insecure_loopback: true
providers:
  keyed:
    label: Keyed
    credential: api_key
    inputs: { tenant: { pattern: '^[a-z]+$' }, note: { secret: true } }
    upstream: { base_url: '{sandbox}/v1', headers: { x-tenant: '{tenant}', x-note: '{note}' } }
  other: { label: Other, credential: api_key, upstream: { base_url: 'https://other.example/v1' } }
  elsewhere:
    label: Elsewhere
    credential: device_code
    authorization_server: { token_endpoint: 'https://evil.example/token', device_authorization_endpoint: 'https://evil.example/d', client_id: x }
    upstream: { base_url: 'https://evil.example/v1' }
`

/** One attack: columns of the victim's row, from what is in both. All text, so that both databases take it. */
type Row = Record<string, string | null>
const ATTACKS: Record<string, { on: 'login' | 'key'; set: (victim: Row, other: Row) => Row }> = {
  "another login's access token": {
    on: 'login',
    set: (_, { oauth_access_token = null }) => ({ oauth_access_token }),
  },
  "another login's refresh token": {
    on: 'login',
    set: (_, { oauth_refresh_token = null }) => ({ oauth_refresh_token }),
  },
  "all of another login's columns, its seal included": {
    on: 'login',
    set: (_, other) =>
      Object.fromEntries(Object.entries(other).filter(([name]) => name.startsWith('oauth_'))) as Row,
  },
  'the refresh token as access token': {
    on: 'login',
    set: ({ oauth_refresh_token = null }) => ({ oauth_access_token: oauth_refresh_token }),
  },
  'an API key as access token': { on: 'login', set: (_, __) => ({ oauth_access_token: 'API KEY' }) },
  'another resource_url': { on: 'login', set: () => ({ oauth_metadata: '{"resource_url":"evil.example"}' }) },
  'another token type': { on: 'login', set: () => ({ oauth_token_type: 'Basic' }) },
  "another login's provider": { on: 'login', set: () => ({ provider: 'elsewhere' }) },
  'no seal': { on: 'login', set: () => ({ oauth_seal: null }) },
  'the other seal of the row': {
    on: 'login',
    set: ({ config_seal = null }) => ({ oauth_seal: config_seal }),
  },
  'another base URL': { on: 'key', set: () => ({ base_url: 'https://evil.example/v1' }) },
  "another config's API key": { on: 'key', set: (_, { api_key = null }) => ({ api_key }) },
  "another config's API key, with its seal": {
    on: 'key',
    set: (_, { api_key = null, config_seal = null }) => ({ api_key, config_seal }),
  },
  'another provider of keys': { on: 'key', set: () => ({ provider: 'other' }) },
  'other inputs': { on: 'key', set: () => ({ inputs: '{"tenant":"evil"}' }) },
  'no inputs': { on: 'key', set: () => ({ inputs: null }) },
  "another config's secret inputs": { on: 'key', set: (_, { inputs_sealed = null }) => ({ inputs_sealed }) },
  "another config's secret inputs, with its seal": {
    on: 'key',
    set: (_, { inputs_sealed = null, config_seal = null }) => ({ inputs_sealed, config_seal }),
  },
  'no seal of a key': { on: 'key', set: () => ({ config_seal: null }) },
}

async function rowOf(database: Database, id: string): Promise<Row> {
  const row = await database.run((db) =>
    db.selectFrom('model_configs').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
  )
  const { oauth_metadata } = row
  const metadata = typeof oauth_metadata === 'object' ? JSON.stringify(oauth_metadata) : oauth_metadata
  return { ...row, oauth_metadata: metadata } as unknown as Row
}

async function set(database: Database, id: string, values: Row): Promise<void> {
  await database.run((db) => db.updateTable('model_configs').set(values).where('id', '=', id).execute())
  await database.run((db) => sql`update change_counter set value = value + 1`.execute(db))
}

async function twoOfEach(broker: Broker) {
  const made = async (fields: object): Promise<string> => {
    const answer = await broker.admin('POST', '/api/models/configs', {
      models: [{ model_id: 'm' }],
      ...fields,
    })
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
    return answer.body.id
  }
  const loggedIn = async (name: string) =>
    made({ name, provider: 'sandbox', oauth_session_id: await login(broker) })
  const keyed = (name: string) =>
    made({
      name,
      provider: 'keyed',
      api_key: `sk-${name.replace(' ', '-')}`,
      inputs: { tenant: 'contoso', note: `note-of-${name.replace(' ', '-')}-0123456789` },
    })
  return {
    login: [await loggedIn('login one'), await loggedIn('login two')],
    key: [await keyed('key one'), await keyed('key two')],
  } as const
}

onEachDatabase(t, 'a row that was tampered with is refused, and only that row', async (t, where) => {
  const broker = await startBroker(t, { databaseUrl: where.url, config: CONFIG })
  const database = openTables(t, broker, where)
  const ids = await twoOfEach(broker)
  const key = (await broker.admin('POST', '/api/keys', { name: 'all' })).body.key
  const diagnosed = async (id: string) => {
    const { body } = await broker.admin('POST', `/api/models/configs/${id}/diagnose`)
    return body.code as string
  }
  const complete = (name: string) =>
    fetch(`${broker.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: `${name}/m`, messages: [] }),
    })
  for (const [what, { on, set: attack }] of Object.entries(ATTACKS)) {
    const [victim, other] = ids[on]
    const before = await rowOf(database, victim)
    const values = attack(before, await rowOf(database, other))
    for (const [column, value] of Object.entries(values)) {
      if (value === 'API KEY') values[column] = (await rowOf(database, ids.key[0]))['api_key'] ?? null
    }
    await set(database, victim, values)
    await waitUntil(async () => (await diagnosed(victim)) === 'cannot_decrypt').catch(() => {})
    t.equal(await diagnosed(victim), 'cannot_decrypt', what)
    const answer = await complete(`${on} one`)
    t.equal(answer.status, 503, what)
    t.match(await answer.json(), { error: { code: 'decryption_failed' } }, what)
    t.not(await diagnosed(other), 'cannot_decrypt', `${what}: the other row is as it was`)
    await set(database, victim, before)
    await waitUntil(async () => (await diagnosed(victim)) !== 'cannot_decrypt')
    t.not(await diagnosed(victim), 'cannot_decrypt', `${what}: taken back`)
  }
})

onEachDatabase(
  t,
  'a row that was tampered with is in the audit, once a day however often it is asked for',
  async (t, where) => {
    const broker = await startBroker(t, { databaseUrl: where.url, config: CONFIG })
    const database = openTables(t, broker, where)
    const { key } = await twoOfEach(broker)
    await set(database, key[0], { base_url: 'https://evil.example/v1' })
    const audit = async () => (await broker.admin('GET', '/api/audit?type=credential.tampered')).body
    await waitUntil(async () => {
      await broker.admin('POST', `/api/models/configs/${key[0]}/diagnose`)
      return (await audit()).total > 0
    })
    for (let n = 0; n < 3; n += 1) await broker.admin('POST', `/api/models/configs/${key[0]}/diagnose`)
    const { total, items } = await audit()
    t.equal(total, 1)
    t.match(items, [{ type: 'credential.tampered', actor: 'system', config_id: key[0] }])
  },
)

onEachDatabase(t, 'what was tampered with is not made right by a new key or login', async (t, where) => {
  const broker = await startBroker(t, { databaseUrl: where.url, config: CONFIG })
  const database = openTables(t, broker, where)
  const ids = await twoOfEach(broker)
  const put = (id: string, body: object) => broker.admin('PUT', `/api/models/configs/${id}`, body)
  const refused = { status: 503, body: { code: 'decryption_failed' } }

  await set(database, ids.key[0], { base_url: 'https://evil.example/v1' })
  t.match(await put(ids.key[0], { api_key: 'sk-new' }), refused, 'the key would go to the new address')
  await set(database, ids.key[1], { provider: 'other' })
  t.match(await put(ids.key[1], { api_key: 'sk-new', base_url: '' }), refused, 'or to the new provider')
  await set(database, ids.login[0], { provider: 'elsewhere' })
  const oauth_token = { access_token: 'a'.repeat(40), refresh_token: 'r'.repeat(40) }
  t.match(await put(ids.login[0], { oauth_token }), refused, 'and so would a login')
  t.equal(
    (await put(ids.key[0], { name: 'another name' })).status,
    200,
    'what moves no secret can be changed',
  )
  t.equal((await broker.admin('DELETE', `/api/models/configs/${ids.key[0]}`)).status, 204, 'and it can go')
})

onEachDatabase(t, 'what changes a row keeps its seals right', async (t, where) => {
  const broker = await startBroker(t, { databaseUrl: where.url, config: CONFIG })
  const ids = await twoOfEach(broker)
  const isSealed = async (id: string, what: string) => {
    const { body } = await broker.admin('POST', `/api/models/configs/${id}/diagnose`)
    t.not(body.code, 'cannot_decrypt', what)
  }
  const put = (id: string, body: object) => broker.admin('PUT', `/api/models/configs/${id}`, body)
  const [first] = ids.login
  await broker.admin('POST', `/api/models/configs/${first}/refresh`)
  await isSealed(first, 'a refresh')
  await put(first, { name: 'renamed', models: [{ model_id: 'n' }] })
  await isSealed(first, 'another name')
  await put(first, { oauth_session_id: await login(broker) })
  await isSealed(first, 'another login')
  await broker.admin('PATCH', `/api/models/configs/${first}/status?is_active=false`)
  await isSealed(first, 'set inactive')
  const [keyed] = ids.key
  await put(keyed, { api_key: 'sk-new' })
  await isSealed(keyed, 'another key')
  const moved = { base_url: 'https://moved.example/v1', api_key: 'sk-moved', inputs: { note: 'moved' } }
  t.equal((await put(keyed, moved)).status, 200)
  await isSealed(keyed, 'another address')
  t.equal((await broker.admin('DELETE', `/api/models/configs/${keyed}`)).status, 204)
})

onEachDatabase(t, 'what is in the row of a login asks for no tokens', async (t, where) => {
  const broker = await startBroker(t, { databaseUrl: where.url })
  const database = openTables(t, broker, where)
  const sessionId = await login(broker)
  const status = (query: string) => call(`${broker.origin}/api/sandbox/oauth/status?${query}`, 'GET')
  t.equal((await status(`session_id=${sessionId}`)).status, 200)
  const rows = await database.run((db) => db.selectFrom('device_sessions').selectAll().execute())
  t.notOk(JSON.stringify(rows).includes(sessionId), 'its id is not there')
  for (const value of rows.flatMap((row) => Object.values(row)).filter((value) => value !== null)) {
    const asked = encodeURIComponent(String(value))
    t.equal((await status(`session_id=${asked}`)).status, 404)
    t.equal((await status(`device_code=${asked}`)).status, 400)
    const config = { name: 'theirs', provider: 'sandbox', models: [], oauth_session_id: String(value) }
    t.not((await broker.admin('POST', '/api/models/configs', config)).status, 201)
  }
})

/** Of the row of a login that is finished: columns, from it and from another one of the attacker's own. */
type SessionRow = Partial<DeviceSessionRow>
const ON_SESSIONS: Record<string, (victim: DeviceSessionRow, mine: DeviceSessionRow) => SessionRow> = {
  "its tokens in the attacker's row": ({ tokens }, { id }) => ({ id, tokens }),
  'its tokens with their seal': ({ tokens, session_seal }, { id }) => ({ id, tokens, session_seal }),
  'its device code with its tokens': ({ tokens, device_code, session_seal }, { id }) => ({
    ...{ id, tokens, device_code, session_seal },
  }),
  'the seal of another one': ({ id }, mine) => ({ id, session_seal: mine.session_seal }),
  'the hash of a device code of the attacker': ({ id }) => ({ id, device_code_hash: rowIdOf('known') }),
  'a later end': ({ id, expires_at }) => ({ id, expires_at: expires_at + 900_000 }),
  'a config of the attacker': ({ id }) => ({ id, config_id: 'another', config_version: 1 }),
}

onEachDatabase(t, 'tokens of one login session are not handed out by another', async (t, where) => {
  const broker = await startBroker(t, { databaseUrl: where.url })
  const database = openTables(t, broker, where)
  const [victim, mine] = [await login(broker), await login(broker)]
  const status = (query: string) =>
    call(`${broker.origin}/api/sandbox/oauth/status?${query}`, 'GET').then((answer) => answer.status)
  const rowOfSession = async (sessionId: string) =>
    database.run((db) =>
      db
        .selectFrom('device_sessions')
        .selectAll()
        .where('id', '=', rowIdOf(sessionId))
        .executeTakeFirstOrThrow(),
    )
  const rows = [await rowOfSession(victim), await rowOfSession(mine)] as const
  const set = (id: string, values: SessionRow) =>
    database.run((db) => db.updateTable('device_sessions').set(values).where('id', '=', id).execute())
  for (const [what, attack] of Object.entries(ON_SESSIONS)) {
    const { id = '', ...values } = attack(...rows)
    const other = id === rows[0].id ? victim : mine
    await set(id, values)
    t.equal(await status(`session_id=${other}`), 503, what)
    if (values.device_code_hash !== undefined) t.equal(await status('device_code=known'), 503, what)
    await set(id, id === rows[0].id ? rows[0] : rows[1])
    t.same([await status(`session_id=${victim}`), await status(`session_id=${mine}`)], [200, 200], what)
  }
})

t.test('a seal is of its fields, in their order and types, and of one of the keys', async (t) => {
  const fields = ['table', 'id', null, 'x']
  const seal = RING.sign(fields)
  t.ok(RING.hasSigned(['table', 'id', null, 'x'], seal))
  for (const other of [
    ['table', 'id', 'x', null],
    ['table', 'id', 'null', 'x'],
    ['tablei', 'd', null, 'x'],
    ['table', 'id', null],
  ]) {
    t.notOk(RING.hasSigned(other, seal), JSON.stringify(other))
  }
  const stranger = new KeyRing([new Secret('c3RyYW5nZXItc3RyYW5nZXItc3RyYW5nZXItc3RyYTE=')])
  t.notOk(stranger.hasSigned(fields, seal))
})
