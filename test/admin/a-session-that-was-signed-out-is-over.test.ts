/** A cookie ends at sign-out, on every replica and for good; streams that it opened end, too. */
import t, { type Test } from 'tap'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { ADMIN_TOKEN, type Broker, call, startBroker } from '../support/broker.ts'
import { onEachDatabase, onMysql, type TestDatabase } from '../support/databases.ts'
import { openEvents } from '../support/event-source.ts'
import { openTables } from '../support/tables.ts'

async function signIn(broker: Broker) {
  const answer = await call(`${broker.origin}/api/session`, 'POST', { token: ADMIN_TOKEN })
  const cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? ''
  return { cookie, 'x-csrf-token': answer.body.csrf_token as string }
}

async function status(broker: Broker, headers: Record<string, string>, path = '/api/keys', method = 'GET') {
  const response = await fetch(broker.origin + path, { method, headers })
  await response.text()
  return response.status
}

async function openTwo(t: Test, { kind, url }: TestDatabase) {
  const broker = await startBroker(t, { databaseUrl: url })
  const env = kind === 'SQLite' ? { DATA_DIR: broker.dataDir } : {}
  return [broker, await startBroker(t, { databaseUrl: url, env, shared: broker.sandbox })] as const
}

onEachDatabase(t, 'signed out at one replica, it opens nothing at any', async (t, database) => {
  const [here, there] = await openTwo(t, database)
  const mine = await signIn(here)
  const other = await signIn(there)
  for (const broker of [here, there]) {
    t.equal(await status(broker, mine), 200)
    t.equal(await status(broker, other), 200)
  }
  const streams = []
  for (const broker of [here, there]) {
    for (const session of [mine, other]) streams.push(await openEvents(`${broker.origin}/api/live`, session))
  }
  for (const stream of streams) {
    t.teardown(() => stream.close())
    await stream.next()
  }
  t.equal(await status(here, { cookie: mine.cookie }, '/api/session', 'DELETE'), 403, 'not by another site')
  t.equal(await status(there, mine), 200)

  t.equal(await status(here, mine, '/api/session', 'DELETE'), 204)
  for (const broker of [here, there]) {
    for (const path of ['/api/keys', '/api/session', '/api/live', '/metrics', '/health'])
      t.equal(await status(broker, mine, path), 401, path)
    t.equal(await status(broker, mine, '/api/session', 'DELETE'), 401, 'also to sign out again')
    t.equal(await status(broker, other), 200, 'another session goes on')
  }
  t.equal(await streams[0]?.next(), undefined, 'the stream here has ended')
  t.equal(await streams[2]?.next(), undefined, 'and there')
  await here.admin('POST', '/api/keys', { name: 'x' })
  t.same((await streams[1]?.next())?.data, { kind: 'changed' }, 'the others go on')
  t.same((await streams[3]?.next())?.data, { kind: 'changed' })
  const fresh = await signIn(here)
  t.equal(await status(there, fresh), 200, 'whoever signs in again has a new one')
})

onEachDatabase(
  t,
  'what was signed out is remembered until the cookie is over, and no longer',
  async (t, database) => {
    const [broker] = await openTwo(t, database)
    const tables = openTables(t, broker, database)
    const rows = () => tables.run((db) => db.selectFrom('ended_sessions').selectAll().execute())
    await status(broker, await signIn(broker), '/api/session', 'DELETE')
    const [row] = await rows()
    t.ok((row?.expires_at ?? 0) > Date.now() + 11 * 3_600_000)
    await tables.run((db) => db.updateTable('ended_sessions').set({ expires_at: 1 }).execute())
    await status(broker, await signIn(broker), '/api/session', 'DELETE')
    t.equal((await rows()).length, 1)
    t.not((await rows())[0]?.session_hash, row?.session_hash)
  },
)

onMysql(t, 'while the database is away no cookie is taken, and the admin token is', async (t, { url }) => {
  const proxy = await TcpProxy.to(url)
  t.teardown(() => proxy.close())
  const behind = Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(proxy.port) }).href
  const broker = await startBroker(t, { databaseUrl: behind })
  const session = await signIn(broker)
  t.equal(await status(broker, session, '/metrics'), 200)
  await proxy.close()
  t.equal(await status(broker, session, '/metrics'), 503, 'it may have been signed out elsewhere')
  t.equal(await status(broker, { authorization: `Bearer ${ADMIN_TOKEN}` }, '/metrics'), 200)
  t.equal(await status(broker, { authorization: 'Bearer wrong' }, '/metrics'), 401)
})
