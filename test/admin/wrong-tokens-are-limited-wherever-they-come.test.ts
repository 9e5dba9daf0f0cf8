/** Guessing the admin token is limited per caller at every door together; whoever has it always gets in. */
import t, { type Test } from 'tap'
import { ADMIN_TOKEN, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'

const METRICS_TOKEN = 'metrics-token-for-tests-0123456789'
const PER_MINUTE = 10

type Call = { method?: string; headers?: Record<string, string>; body?: string }

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
const signIn = (token: string): Call => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ token }),
})

/** Where a wrong one can be shown, and how. */
const DOORS: Record<string, (i: number) => [path: string, call: Call]> = {
  management: (i) => ['/api/models/configs', bearer(`wrong-${i}`)],
  'a change': (i) => ['/api/keys', { method: 'POST', ...bearer(`wrong-${i}`) }],
  metrics: (i) => ['/metrics', bearer(`wrong-${i}`)],
  health: (i) => ['/health', bearer(`wrong-${i}`)],
  'live events': (i) => ['/api/live', bearer(`wrong-${i}`)],
  'a cookie': (i) => ['/api/keys', { headers: { cookie: `token_broker_session=wrong-${i}` } }],
  'the session': (i) => ['/api/session', { headers: { cookie: `token_broker_session=wrong-${i}` } }],
  'signing in': (i) => ['/api/session', signIn(`wrong-${i}`)],
  'the metrics token at another door': () => ['/api/usage', bearer(METRICS_TOKEN)],
}

async function setUp(t: Test, database: TestDatabase) {
  const env = { TRUSTED_PROXIES: '127.0.0.1', METRICS_TOKEN }
  const broker = await startBroker(t, { databaseUrl: database.url, env })
  const replica = await startBroker(t, {
    databaseUrl: database.url,
    env: { ...env, ...(database.kind === 'SQLite' && { DATA_DIR: broker.dataDir }) },
    shared: broker.sandbox,
  })
  const from = async (address: string, origin: string, [path, call]: [string, Call]) => {
    const headers = { ...call.headers, 'x-forwarded-for': address }
    const response = await fetch(origin + path, { ...call, headers })
    const leave = response.headers.get('content-type')?.includes('event-stream')
    const text = leave ? '' : await response.text()
    if (leave) await response.body?.cancel()
    return { status: response.status, retryAfter: Number(response.headers.get('retry-after')), text }
  }
  return { broker, origins: [broker.origin, replica.origin] as const, from }
}

onEachDatabase(
  t,
  'ten a minute at each door, on all replicas together, and the right one gets in',
  async (t, db) => {
    const { origins, from } = await setUp(t, db)
    for (const [n, [door, guess]] of Object.entries(DOORS).entries()) {
      const network = `2001:db8:0:${n + 1}`
      const statuses: number[] = []
      for (let i = 0; i < PER_MINUTE; i += 1)
        statuses.push((await from(`${network}::${i}`, origins[i % 2] ?? '', guess(i))).status)
      t.same(new Set(statuses), new Set([401]), door)
      for (const origin of origins) {
        const refused = await from(`${network}:ffff::1`, origin, guess(99))
        t.match(refused, { status: 429, text: /rate_limit_exceeded/ }, door)
        t.ok(refused.retryAfter > 0 && refused.retryAfter <= 60)
        const right: [string, Call][] = [
          ['/api/models/configs', bearer(ADMIN_TOKEN)],
          ['/metrics', bearer(METRICS_TOKEN)],
          ['/api/session', signIn(ADMIN_TOKEN)],
        ]
        for (const call of right)
          t.equal((await from(`${network}::1`, origin, call)).status, 200, `${door}: ${call[0]}`)
        t.equal(
          (await from(`2001:db8:1:${n + 1}::1`, origin, guess(0))).status,
          401,
          'others are not held up',
        )
      }
    }
  },
)

onEachDatabase(t, 'the doors count together; no credentials at all are no guess', async (t, db) => {
  const { origins, from } = await setUp(t, db)
  const doors = Object.values(DOORS)
  for (let i = 0; i < 30; i += 1) t.equal((await from('10.1.1.1', origins[0], ['/api/keys', {}])).status, 401)
  for (let i = 0; i < PER_MINUTE; i += 1) {
    const guess = doors[i % doors.length]?.(i) ?? ['', {}]
    t.equal((await from('10.1.1.1', origins[i % 2] ?? '', guess)).status, 401)
  }
  for (const guess of doors) t.equal((await from('10.1.1.1', origins[1], guess(0))).status, 429)
})

onEachDatabase(t, 'the metrics token reads /metrics and nothing else', async (t, db) => {
  const { origins, from } = await setUp(t, db)
  const read = await from('10.2.2.2', origins[0], ['/metrics', bearer(METRICS_TOKEN)])
  t.match(read, { status: 200, text: /token_broker_/ })
  t.equal((await from('10.2.2.2', origins[0], ['/metrics?x=1', bearer(METRICS_TOKEN)])).status, 200)
  const others = [
    '/health',
    '/api/models/configs',
    '/api/keys',
    '/api/usage',
    '/api/audit',
    '/api/live',
    '/v1/models',
  ]
  for (const [i, path] of others.entries())
    t.equal((await from(`10.3.3.${i}`, origins[0], [path, bearer(METRICS_TOKEN)])).status, 401, path)
  t.equal((await from('10.3.3.9', origins[0], ['/api/session', signIn(METRICS_TOKEN)])).status, 401)
})
