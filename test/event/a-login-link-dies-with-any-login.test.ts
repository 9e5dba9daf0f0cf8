/** One link an event, good once, only while its config needs a login. */
import t, { type Test } from 'tap'
import { rowIdOf } from '../../src/onboarding/device-session.ts'
import type { LoginLinkRow } from '../../src/storage/tables.ts'
import { type Broker, call, login, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'
import { die, linkOf, lookAt, press, startReceiver } from './fixtures/receiver.ts'

const CONFIGS = '/api/models/configs'

async function openDead(t: Test, database: TestDatabase, refusals = 0) {
  const receiver = await startReceiver(t, refusals)
  const env = { ...receiver.env, TRUSTED_PROXIES: '127.0.0.1' }
  const broker = await startBroker(t, { databaseUrl: database.url, env })
  const tables = openTables(t, broker, database)
  const { configId } = await broker.connect()
  await die(broker, configId)
  const credential = async () => (await broker.admin('GET', `${CONFIGS}/${configId}`)).body.credential
  return { receiver, broker, tables, configId, credential }
}

/** Every way to log a config in, or to do without. */
const LOGINS: Record<string, (broker: Broker, configId: string) => Promise<unknown>> = {
  'a device session': async (broker, id) =>
    broker.admin('PUT', `${CONFIGS}/${id}`, { oauth_session_id: await login(broker) }),
  'tokens by hand': (broker, id) =>
    broker.admin('PUT', `${CONFIGS}/${id}`, {
      oauth_token: { access_token: 'at-by-hand', refresh_token: 'rt-by-hand', expires_at: 4_000_000_000_000 },
    }),
  'its deletion': (broker, id) => broker.admin('DELETE', `${CONFIGS}/${id}`),
  'tokens by hand, and another death': async (broker, id) => {
    await broker.admin('PUT', `${CONFIGS}/${id}`, { oauth_session_id: await login(broker) })
    await die(broker, id)
  },
}

for (const [way, logIn] of Object.entries(LOGINS)) {
  onEachDatabase(t, `an unused link is void after ${way}`, async (t, database) => {
    const { receiver, broker, configId } = await openDead(t, database)
    const link = await linkOf(receiver.deliveries)
    t.equal((await call(link, 'GET')).status, 200)
    await logIn(broker, configId)
    t.match(await call(link, 'GET'), { status: 404, body: /no longer good/ })
    t.match(await press(link), { answer: { status: 404 }, code: '' })
  })

  onEachDatabase(t, `a login that a link began binds nothing after ${way}`, async (t, database) => {
    const { receiver, broker, configId, tables } = await openDead(t, database)
    const { code, page, id } = await press(await linkOf(receiver.deliveries))
    await logIn(broker, configId)
    const rows = () =>
      tables.run((db) =>
        db.selectFrom('model_configs').select(['oauth_access_token', 'oauth_version']).execute(),
      )
    const before = await rows()
    t.equal(await broker.sandbox.approve(code), true)
    t.match(await lookAt(page), { status: 409, body: /changed nothing/ })
    t.match(await call(page, 'GET'), { status: 409 }, 'for good')
    t.same(await rows(), before)
    const session = await tables.run((db) =>
      db
        .selectFrom('device_sessions')
        .select(['status', 'tokens', 'code_verifier'])
        .where('id', '=', rowIdOf(id))
        .execute(),
    )
    t.same(session, [{ status: 'superseded', tokens: null, code_verifier: null }], 'nothing is kept of it')
  })
}

onEachDatabase(t, 'each death has a link of its own, and only the last one logs in', async (t, database) => {
  const { receiver, broker, tables, configId, credential } = await openDead(t, database)
  const loginAt = async () =>
    (await tables.run((db) => db.selectFrom('model_configs').select('oauth_login_at').execute()))[0]
      ?.oauth_login_at ?? 0
  const first = await linkOf(receiver.deliveries)
  await broker.admin('PUT', `${CONFIGS}/${configId}`, { oauth_session_id: await login(broker) })
  await die(broker, configId)
  const second = await linkOf(receiver.deliveries, 2)
  t.not(first, second)
  t.equal((await call(first, 'GET')).status, 404)
  const { code, page } = await press(second)
  const before = await loginAt()
  t.equal(await broker.sandbox.approve(code), true)
  t.match(await lookAt(page), { status: 200, body: /Connected/ })
  t.ok((await loginAt()) > before, 'a login of its own, should the database go back')
  t.match(await call(page, 'GET'), { status: 200, body: /Connected/ }, 'however often one looks')
  t.equal((await credential()).state, 'active')
})

onEachDatabase(t, 'every delivery of an event carries the same link', async (t, db) => {
  const { receiver, tables } = await openDead(t, db, 3)
  const sooner = () =>
    tables.run((db) =>
      db.updateTable('audit_events').set({ next_delivery_at: 1 }).where('next_delivery_at', '>', 1).execute(),
    )
  const links = () =>
    receiver.attempts
      .map(({ body }) => JSON.parse(body))
      .filter(({ type }) => type.endsWith('reauth_required'))
  await waitUntil(async () => {
    await sooner()
    return links().length >= 3
  }, 60_000)
  t.equal(new Set(links().map(({ login_url }) => login_url)).size, 1)
  const rows = await tables.run((db) => db.selectFrom('login_links').selectAll().execute())
  t.equal(rows.length, 1)
  t.notOk(
    JSON.stringify(rows).includes(links()[0].login_url.split('/').at(-1)),
    'kept sealed and hashed only',
  )
})

onEachDatabase(t, 'once used, later deliveries of its event carry none', async (t, database) => {
  const { receiver, tables } = await openDead(t, database)
  await press(await linkOf(receiver.deliveries))
  await tables.run((db) =>
    db
      .updateTable('audit_events')
      .set({ next_delivery_at: 1 })
      .where('type', '=', 'credential.reauth_required')
      .execute(),
  )
  t.equal(await linkOf(receiver.deliveries, 2), null)
})

onEachDatabase(
  t,
  'of many who press at once, one begins; a server that gives no code uses nothing up',
  async (t, db) => {
    const { receiver, broker } = await openDead(t, db)
    const link = await linkOf(receiver.deliveries)
    broker.sandbox.faults.next('device_code', { status: 503, body: 'no' })
    t.match(await call(link, 'POST'), { status: 500, body: /device code/ })
    t.equal((await call(link, 'GET')).status, 200, 'still good')
    const begun = await Promise.all(Array.from({ length: 5 }, () => press(link)))
    t.same(begun.map(({ answer }) => answer.status).sort(), [200, 404, 404, 404, 404])
  },
)

/** Rows of somebody who can write to the database, and knows the link `FORGED` whose hash they write. */
const FORGED = 'F'.repeat(43)
const FORGERIES: Record<string, (row: LoginLinkRow, other: string) => Partial<LoginLinkRow>> = {
  'a link of their own': () => ({ token_hash: rowIdOf(FORGED) }),
  'without a seal': () => ({ token_hash: rowIdOf(FORGED), link_seal: null }),
  'for another config': (_, other) => ({ config_id: other }),
  'for another login': ({ config_version }) => ({ config_version: (config_version ?? 0) + 1 }),
  'for longer': ({ expires_at }) => ({ expires_at: expires_at + 86_400_000 }),
}

onEachDatabase(t, 'whoever writes to the database makes no link', async (t, database) => {
  const { receiver, broker, tables } = await openDead(t, database)
  const link = await linkOf(receiver.deliveries)
  const other = (await broker.connect('other')).configId
  await tables.run((db) =>
    db.updateTable('model_configs').set({ oauth_state: 'missing' }).where('id', '=', other).execute(),
  )
  const rowOf = () => tables.run((db) => db.selectFrom('login_links').selectAll().executeTakeFirstOrThrow())
  const setLink = (values: Partial<LoginLinkRow>) =>
    tables.run((db) => db.updateTable('login_links').set(values).execute())
  const setVersion = (oauth_version: number) =>
    tables.run((db) => db.updateTable('model_configs').set({ oauth_version }).execute())
  const before = await rowOf()
  const version = before.config_version ?? 0
  for (const [what, forge] of Object.entries(FORGERIES)) {
    const forged = forge(before, other)
    await setLink(forged)
    await setVersion(forged.config_version ?? version)
    const asked = forged.token_hash === undefined ? link : new URL(FORGED, link).href
    t.match(await call(asked, 'GET'), { status: 503, body: /cannot be decrypted/ }, what)
    t.match(await press(asked), { answer: { status: 503 }, code: '' }, what)
    await setLink(before)
    await setVersion(version)
    t.equal((await call(link, 'GET')).status, 200, `${what}: the real one is as good as before`)
  }
})

onEachDatabase(t, 'guesses are limited by network, and write nothing', async (t, database) => {
  const { receiver, broker, tables } = await openDead(t, database)
  const link = await linkOf(receiver.deliveries)
  const written = () =>
    tables.run(async (db) => ({
      links: await db.selectFrom('login_links').selectAll().execute(),
      sessions: await db.selectFrom('device_sessions').selectAll().execute(),
      counters: await db.selectFrom('rate_counters').selectAll().execute(),
      events: await db.selectFrom('audit_events').select(['id', 'deliveries']).execute(),
    }))
  const DELIVERED = 2 // claimed, then concluded
  await waitUntil(async () => (await written()).events.every(({ deliveries }) => deliveries === DELIVERED))
  const before = await written()
  const from = async (address: string, path: string, method = 'GET') => {
    const response = await fetch(broker.origin + path, { method, headers: { 'x-forwarded-for': address } })
    await response.text()
    return response
  }
  const guesses: ((i: number) => [path: string, method: string])[] = [
    (i) => [`/login/${'A'.repeat(42)}${i % 10}`, i % 2 ? 'POST' : 'GET'],
    (i) => [`/login/${i}`, i % 2 ? 'POST' : 'GET'],
    (i) => [`/login/session/sandbox/${'B'.repeat(31)}${i % 10}`, 'GET'],
  ]
  for (const [n, guess] of guesses.entries()) {
    const statuses: number[] = []
    for (let i = 0; i < 14; i += 1) statuses.push((await from(`2001:db8:${n}:7::${i}`, ...guess(i))).status)
    t.same([statuses.filter((status) => status === 404).length, statuses.at(-1)], [10, 429])
    const limited = await from(`2001:db8:${n}:7:ffff::1`, new URL(link).pathname)
    t.equal(limited.status, 429, 'a /64 is one')
    t.ok(Number(limited.headers.get('retry-after')) > 0)
    t.equal((await from(`2001:db8:${n}:8::1`, new URL(link).pathname)).status, 200, 'others are not held up')
  }
  t.same(await written(), before)
})
