/** `GET /api/audit`: every change and by whom, every sign-in and refused one, every login; no secret, ever. */
import t, { type Test } from 'tap'
import { die, linkOf, lookAt, press, startReceiver } from '../event/fixtures/receiver.ts'
import { ADMIN_TOKEN, type Broker, call, login, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { CONFIGS, KEYS, keyConfig } from './fixtures/management.ts'

async function signIn(broker: Broker) {
  const answer = await call(`${broker.origin}/api/session`, 'POST', { token: ADMIN_TOKEN })
  const cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? ''
  return { cookie, 'x-csrf-token': answer.body.csrf_token as string }
}

interface Entry {
  readonly [field: string]: unknown
  readonly type: string
}

async function audit(broker: Broker, query = ''): Promise<Entry[]> {
  const answer = await broker.admin('GET', `/api/audit?page_size=100${query}`)
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
  return answer.body.items
}

const ADMIN = { actor: 'admin token', address: '127.0.0.1' }
const CONSOLE = { actor: 'console', address: '127.0.0.1' }

onEachDatabase(
  t,
  'every change of configs and keys, with who made it and what it changed',
  async (t, { url }) => {
    const broker = await startBroker(t, { databaseUrl: url })
    const session = await signIn(broker)
    const asConsole = (method: string, path: string, body?: object) =>
      fetch(broker.origin + path, {
        method,
        headers: { ...session, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
      })
    const { id } = (await broker.admin('POST', CONFIGS, keyConfig('first'))).body
    const about = { config_id: id, provider: 'openai' }
    const named = (config_name: string) => ({ ...about, config_name })
    const changed = (fields: string[], from: object, to: object) => ({
      details: { changed: fields, from, to },
    })
    const steps: [step: () => Promise<unknown>, entry: object][] = [
      [
        () => broker.admin('PUT', `${CONFIGS}/${id}`, { name: 'second', models: [] }),
        { type: 'config.updated', ...ADMIN, ...named('second') },
      ],
      [
        () => asConsole('PATCH', `${CONFIGS}/${id}/status?is_active=false`),
        {
          type: 'config.updated',
          ...CONSOLE,
          ...changed(['is_active'], { is_active: true }, { is_active: false }),
        },
      ],
      [
        () => broker.admin('PUT', `${CONFIGS}/${id}`, { api_key: 'sk-another-canary-0123456789' }),
        { type: 'config.updated', ...ADMIN, ...changed(['api_key'], {}, {}) },
      ],
      [() => broker.admin('POST', `${CONFIGS}/${id}/diagnose`), { type: 'config.diagnosed', ...ADMIN }],
      [() => asConsole('POST', `${CONFIGS}/${id}/refresh`), { type: 'config.refresh_asked', ...CONSOLE }],
      [() => asConsole('POST', KEYS, { name: 'app' }), { type: 'key.created', ...CONSOLE, key_name: 'app' }],
      [
        () => broker.admin('DELETE', `${CONFIGS}/${id}`),
        { type: 'config.deleted', ...ADMIN, ...named('second') },
      ],
    ]
    for (const [step, entry] of steps) {
      await step()
      t.match((await audit(broker))[0], entry)
    }
    const [key] = (await broker.admin('GET', KEYS)).body.items
    await broker.admin('PATCH', `${KEYS}/${key.id}`, { models: ['m'], requests_per_minute: 5 })
    t.match((await audit(broker))[0], {
      type: 'key.updated',
      ...ADMIN,
      key_id: key.id,
      ...changed(
        ['models', 'requests_per_minute'],
        { models: null, requests_per_minute: null },
        { models: ['m'], requests_per_minute: 5 },
      ),
    })
    await broker.admin('PATCH', `${KEYS}/${key.id}`, { models: ['m'] })
    t.match((await audit(broker))[0], { type: 'key.updated' }, 'nothing was changed')
    await asConsole('POST', `${KEYS}/${key.id}/rotate`, { overlap_seconds: 60 })
    t.match((await audit(broker))[0], {
      type: 'key.rotated',
      ...CONSOLE,
      key_id: key.id,
      details: { overlap_seconds: 60, prefix: /^sk-tb-.{6}$/ },
    })
    await broker.admin('DELETE', `${KEYS}/${key.id}`)
    t.match((await audit(broker))[0], { type: 'key.deleted', ...ADMIN, key_id: key.id, key_name: 'app' })
    const renamed = (await audit(broker)).find(
      ({ config_name, details }) => config_name === 'second' && details,
    )
    t.ok(renamed)
    const rename = (await audit(broker, '&type=config.updated')).at(-1)
    t.match(rename, changed(['name', 'models'], { name: 'first' }, { name: 'second' }))

    const before = (await audit(broker)).length
    for (const refused of [
      () => broker.admin('POST', CONFIGS, keyConfig('x', { provider: 'none' })),
      () => broker.admin('PUT', `${CONFIGS}/unknown`, { name: 'y' }),
      () => broker.admin('DELETE', `${KEYS}/unknown`),
      () => asConsole('GET', '/api/keys'),
    ])
      await refused()
    t.equal((await audit(broker)).length, before, 'what was refused, or only read, is no change')
  },
)

onEachDatabase(
  t,
  'sign-ins, sign-outs, and refused tokens as one line an address and minute',
  async (t, { url }) => {
    const broker = await startBroker(t, { databaseUrl: url, env: { TRUSTED_PROXIES: '127.0.0.1' } })
    const session = await signIn(broker)
    await fetch(`${broker.origin}/api/session`, { method: 'DELETE', headers: session })
    t.match(await audit(broker), [
      { type: 'console.signed_out', ...CONSOLE },
      { type: 'console.signed_in', ...CONSOLE },
    ])
    const guess = async (address: string) => {
      const headers = { authorization: 'Bearer guessed-secret-0123456789', 'x-forwarded-for': address }
      await (await fetch(broker.origin + KEYS, { headers })).text()
    }
    for (let i = 0; i < 25; i += 1) await guess(`2001:db8::${i}`)
    await guess('203.0.113.7')
    const refused = await audit(broker, '&type=access')
    const counts = new Map<unknown, number>()
    for (const { address, count } of refused) counts.set(address, (counts.get(address) ?? 0) + Number(count))
    t.same(Object.fromEntries(counts), { '2001:db8:0:0::/64': 25, '203.0.113.7': 1 })
    t.ok(refused.length <= 4, 'however many there were')
  },
)

onEachDatabase(t, 'every login and who made it; the refreshes of a day are one line', async (t, database) => {
  const receiver = await startReceiver(t)
  const broker = await startBroker(t, { databaseUrl: database.url, env: receiver.env })
  const { configId } = await broker.connect()
  t.match((await audit(broker)).slice(-2), [
    { type: 'config.created', ...ADMIN, config_id: configId },
    {
      type: 'login.completed',
      actor: 'onboarding',
      address: '127.0.0.1',
      provider: 'sandbox',
      config_id: null,
    },
  ])
  for (let i = 0; i < 3; i += 1) await broker.admin('POST', `${CONFIGS}/${configId}/refresh`)
  const refreshes = await audit(broker, '&type=credential.refreshed')
  t.equal(
    refreshes.reduce((sum, { count }) => sum + Number(count), 0),
    3,
  )
  t.ok(refreshes.length <= 2, 'two at midnight')

  await broker.admin('PUT', `${CONFIGS}/${configId}`, { oauth_session_id: await login(broker) })
  t.match((await audit(broker))[0], { type: 'config.login', ...ADMIN, config_id: configId })
  await die(broker, configId)
  const { code, page } = await press(await linkOf(receiver.deliveries))
  await broker.sandbox.approve(code)
  await lookAt(page)
  t.match(await audit(broker, '&actor=login%20link'), [
    { type: /config.login|credential.recovered/, address: '127.0.0.1', config_id: configId },
    { type: /config.login|credential.recovered/ },
  ])
  t.match(await audit(broker, '&type=credential.reauth_required'), [{ actor: 'system', config_id: configId }])
  const outbox = await openTables(t, broker, database).run((db) =>
    db.selectFrom('audit_events').select('type').execute(),
  )
  t.same(
    outbox.filter(({ type }) => !type.startsWith('credential.')),
    [],
    'the outbox of the webhook has no admin in it',
  )
})

onEachDatabase(t, 'found by config, kind, actor and time, page by page', async (t, { url }) => {
  const broker = await startBroker(t, { databaseUrl: url })
  const { configId } = await broker.connect()
  const other = (await broker.admin('POST', CONFIGS, keyConfig('other'))).body
  const all = await audit(broker)
  const types = (entries: Entry[]) => entries.map(({ type }) => type)
  t.same(new Set(types(await audit(broker, `&config_id=${other.id}`))), new Set(['config.created']))
  t.same(types(await audit(broker, '&type=key')), ['key.created'])
  t.equal((await audit(broker, '&type=config.created,login')).length, 3)
  t.same(types(await audit(broker, '&type=conf')), [], 'a kind, not a beginning')
  t.same(types(await audit(broker, '&actor=onboarding')), ['login.completed'])
  t.equal((await audit(broker, '&actor=onboarding,admin token')).length, all.length)
  t.equal((await audit(broker, `&from=${Date.now() + 60_000}`)).length, 0)
  t.equal((await audit(broker, `&from=2020-01-01&to=${Date.now() + 60_000}`)).length, all.length)
  t.equal((await audit(broker, '&to=2020-01-01')).length, 0)
  const pages = []
  for (let page = 1; page <= all.length; page += 1)
    pages.push((await broker.admin('GET', `/api/audit?page=${page}&page_size=1`)).body.items[0]?.id)
  t.same(
    pages,
    all.map(({ id }) => id),
  )
  for (const wrong of ['from=soon', 'type=', 'page=0', 'actor='])
    t.equal((await broker.admin('GET', `/api/audit?${wrong}`)).status, 422, wrong)
  t.ok(configId)
})

onEachDatabase(t, 'no secret that was made is in it', async (t, database) => {
  const broker = await startBroker(t, { databaseUrl: database.url })
  const { configId, key } = await broker.connect()
  await broker.admin('POST', CONFIGS, keyConfig('first'))
  const session = await signIn(broker)
  const row = await openTables(t, broker, database).run((db) =>
    db.selectFrom('audit_log').selectAll().execute(),
  )
  const text = JSON.stringify(row)
  for (const secret of [key, ADMIN_TOKEN, 'sk-upstream-canary', session.cookie.split('=')[1] ?? 'x'])
    t.notOk(text.includes(secret), secret.slice(0, 10))
  t.ok(text.includes(configId))
})

async function failing(t: Test, database: TestDatabase) {
  const broker = await startBroker(t, { databaseUrl: database.url })
  const { configId } = await broker.connect()
  const tables = openTables(t, broker, database)
  await tables.run((db) => db.schema.dropTable('audit_log').execute())
  return { broker, configId }
}

onEachDatabase(t, 'what cannot be written down does not happen', async (t, database) => {
  const { broker, configId } = await failing(t, database)
  const before = (await broker.admin('GET', `${CONFIGS}/${configId}`)).body
  t.ok((await broker.admin('PUT', `${CONFIGS}/${configId}`, { name: 'renamed' })).status >= 500)
  t.ok((await broker.admin('DELETE', `${CONFIGS}/${configId}`)).status >= 500)
  t.ok((await broker.admin('POST', KEYS, { name: 'more' })).status >= 500)
  t.same((await broker.admin('GET', `${CONFIGS}/${configId}`)).body, before)
  t.equal((await broker.admin('GET', KEYS)).body.total, 1)
})
