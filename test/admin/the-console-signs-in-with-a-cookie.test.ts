import t, { type Test } from 'tap'
import { ConsoleSessions } from '../../src/admin/console-session.ts'
import { Secret } from '../../src/base/secret.ts'
import { ADMIN_TOKEN, type Broker, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'

type Headers = Record<string, string>

async function api(broker: Broker, method: string, path: string, headers: Headers = {}, body?: object) {
  const response = await fetch(broker.origin + path, {
    method,
    headers: { ...(body && { 'content-type': 'application/json' }), ...headers },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : undefined }
}

async function signIn(broker: Broker, headers: Headers = {}) {
  const answer = await api(broker, 'POST', '/api/session', headers, { token: ADMIN_TOKEN })
  const setCookie = answer.headers.get('set-cookie') ?? ''
  return { answer, setCookie, cookie: setCookie.split(';')[0] ?? '', csrf: answer.body.csrf_token as string }
}

async function signedIn(t: Test) {
  const broker = await startBroker(t)
  return { broker, ...(await signIn(broker)) }
}

t.test('the admin token buys a cookie no script and no other site can use', async (t) => {
  const { broker, answer, setCookie, cookie, csrf } = await signedIn(t)
  t.equal(answer.status, 200)
  t.match(setCookie, /; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/)
  t.notOk(setCookie.includes(ADMIN_TOKEN))
  t.equal(answer.headers.get('cache-control'), 'no-store')
  const again = await api(broker, 'GET', '/api/session', { cookie })
  t.match(again, { status: 200, body: { csrf_token: csrf, expires_at: answer.body.expires_at } })
  t.equal((await api(broker, 'GET', '/api/models/configs', { cookie })).status, 200)
  t.match((await signIn(broker, { origin: 'https://broker.example.com' })).setCookie, /; Secure$/)
})

t.test(
  'a wrong token buys nothing, and after ten of them a wrong one waits while the right one gets in',
  async (t) => {
    const broker = await startBroker(t)
    for (let tries = 0; tries < 10; tries += 1) {
      const answer = await api(broker, 'POST', '/api/session', {}, { token: `wrong-${tries}` })
      t.match(answer, { status: 401, body: { code: 'admin_token_required' } })
      t.equal(answer.headers.get('set-cookie'), null)
    }
    const wrong = await api(broker, 'POST', '/api/session', {}, { token: 'wrong' })
    t.match(wrong, { status: 429, body: { code: 'rate_limit_exceeded' } })
    t.ok(Number(wrong.headers.get('retry-after')) > 0)
    t.equal((await signIn(broker)).answer.status, 200)
  },
)

t.test('what changes something needs the CSRF token besides the cookie', async (t) => {
  const { broker, cookie, csrf } = await signedIn(t)
  const create = (headers: Headers) => api(broker, 'POST', '/api/keys', headers, { name: 'x' })
  for (const headers of [
    { cookie },
    { cookie, 'x-csrf-token': 'wrong' },
    { cookie, 'x-csrf-token': `${csrf}x` },
  ]) {
    t.match(await create(headers), { status: 403, body: { code: 'csrf_token_required' } })
  }
  const other = await signIn(broker)
  t.equal((await create({ cookie, 'x-csrf-token': other.csrf })).status, 403, 'of another session')
  t.equal((await api(broker, 'DELETE', '/api/session', { cookie })).status, 403)
  t.equal((await create({ cookie, 'x-csrf-token': csrf })).status, 201)
  t.equal((await api(broker, 'GET', '/api/keys', { cookie })).body.total, 1)
})

t.test('a bearer token is judged by itself, cookie or not', async (t) => {
  const { broker, cookie, csrf } = await signedIn(t)
  const headers = { cookie, 'x-csrf-token': csrf, authorization: 'Bearer wrong' }
  t.equal((await api(broker, 'GET', '/api/keys', headers)).status, 401)
  t.equal((await broker.admin('POST', '/api/keys', { name: 'x' })).status, 201)
})

t.test('forged, altered and foreign cookies open nothing', async (t) => {
  const { broker, cookie } = await signedIn(t)
  const [name, value = ''] = cookie.split('=')
  const [expiry, nonce, signature] = value.split('.')
  const later = `${Number(expiry) + 1}.${nonce}.${signature}`
  for (const forged of [
    '',
    'x',
    later,
    `${expiry}.${nonce}.`,
    `${value}x`,
    value.slice(0, -1),
    '__proto__',
  ]) {
    t.equal(
      (await api(broker, 'GET', '/api/keys', { cookie: `${name}=${forged}` })).status,
      401,
      forged.slice(0, 20),
    )
  }
  t.equal((await api(broker, 'GET', '/api/keys', { cookie: `other=1; ${cookie}; more=2` })).status, 200)
})

t.test('signing out takes the cookie back', async (t) => {
  const { broker, cookie, csrf } = await signedIn(t)
  const out = await api(broker, 'DELETE', '/api/session', { cookie, 'x-csrf-token': csrf })
  t.equal(out.status, 204)
  t.match(out.headers.get('set-cookie'), /^token_broker_session=; Path=\/; Max-Age=0;/)
})

t.test('a session ends after twelve hours, to the millisecond, and with the admin token', async (t) => {
  let now = 1_800_000_000_000
  const consoleSessions = new ConsoleSessions(new Secret(ADMIN_TOKEN), () => now)
  const cookie = consoleSessions.open(false).cookie.split(';')[0]
  now += 12 * 3_600_000 - 1
  t.ok(consoleSessions.read(cookie))
  t.equal(new ConsoleSessions(new Secret('another'), () => now).read(cookie), undefined)
  now += 1
  t.equal(consoleSessions.read(cookie), undefined)
})

onEachDatabase(t, 'tries are counted for all replicas together', async (t, { url }) => {
  const broker = await startBroker(t, { databaseUrl: url })
  const statuses = await Promise.all(
    Array.from(
      { length: 14 },
      async () => (await api(broker, 'POST', '/api/session', {}, { token: 'wrong' })).status,
    ),
  )
  t.equal(statuses.filter((status) => status === 401).length, 10)
})
