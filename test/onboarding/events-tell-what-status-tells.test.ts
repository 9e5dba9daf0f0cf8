import t, { type Test } from 'tap'
import { type Broker, call, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openEvents } from '../support/event-source.ts'
import { waitUntil } from '../support/wait-until.ts'

async function start(broker: Broker, provider = 'sandbox') {
  const { body } = await call(`${broker.origin}/api/${provider}/oauth/device-code`, 'POST', {})
  const path = (route: string) =>
    `${broker.origin}/api/${provider}/oauth/${route}?session_id=${body.session_id}`
  return { userCode: body.user_code, events: path('events'), status: path('status') }
}

async function setUp(t: Test, options: Parameters<typeof startBroker>[1] = {}) {
  const broker = await startBroker(t, options)
  const session = await start(broker)
  const stream = await openEvents(session.events)
  t.teardown(() => stream.close())
  return { broker, session, stream }
}

onEachDatabase(
  t,
  'a login is followed to its tokens, which are the same as /status has',
  async (t, { url }) => {
    const { broker, session, stream } = await setUp(t, { databaseUrl: url })
    t.match(stream.response.headers.get('content-type'), /^text\/event-stream/)
    t.equal(stream.response.headers.get('cache-control'), 'no-store')
    t.same(await stream.next(), { event: 'message', data: { status: 'pending', retry_after: 1000 } })
    await broker.sandbox.approve(session.userCode)
    let last = await stream.next()
    while (last?.data.status === 'pending') last = await stream.next()
    t.equal(last?.data.status, 'success')
    t.same(last?.data, (await call(session.status, 'GET')).body)
    t.equal(await stream.next(), undefined, 'the stream ends')
  },
)

t.test('a refusal is an error event with the body of /status, and the end', async (t) => {
  const { broker, session, stream } = await setUp(t)
  await stream.next()
  await broker.sandbox.deny(session.userCode)
  let last = await stream.next()
  while (last?.event === 'message') last = await stream.next()
  t.match(last, { event: 'error', data: { code: 'access_denied', detail: '用户拒绝授权' } })
  t.equal(await stream.next(), undefined)
  t.same(last?.data, (await call(session.status, 'GET')).body)
})

t.test('a code nobody enters ends with 认证超时', async (t) => {
  const { stream } = await setUp(t, { sandbox: { deviceCodeSeconds: 2 } })
  let last = await stream.next()
  while (last?.event === 'message') last = await stream.next()
  t.match(last, { event: 'error', data: { code: 'authorization_timeout', detail: '认证超时' } })
})

t.test('what is wrong from the start has its own status', async (t) => {
  const broker = await startBroker(t)
  const cases = [
    ['/api/sandbox/oauth/events?session_id=unknown', 404],
    ['/api/sandbox/oauth/events', 400],
    ['/api/nobody/oauth/events?session_id=x', 404],
  ] as const
  for (const [path, status] of cases) {
    const stream = await openEvents(broker.origin + path)
    t.equal(stream.response.status, status, path)
    stream.close()
  }
})

t.test('two pages that follow one login poll the server no more often than one', async (t) => {
  const { broker, session, stream } = await setUp(t)
  const other = await openEvents(session.events)
  t.teardown(() => other.close())
  for (let seen = 0; seen < 3; seen += 1) {
    // After a slow_down it would be more than twice the interval for ever.
    for (const event of await Promise.all([stream.next(), other.next()]))
      t.ok(event?.data.retry_after <= 2_000)
  }
  await broker.sandbox.approve(session.userCode)
  for (const page of [stream, other]) {
    let last = await page.next()
    while (last?.data.status === 'pending') last = await page.next()
    t.equal(last?.data.status, 'success')
  }
})

t.test('looking ends when the client leaves, and when the broker stops', async (t) => {
  const { broker, stream } = await setUp(t)
  await stream.next()
  stream.close()
  const polls = () => broker.sandbox.counts.devicePolls
  await new Promise((resolve) => setTimeout(resolve, 300))
  const before = polls()
  await new Promise((resolve) => setTimeout(resolve, 2_500))
  t.equal(polls(), before)

  const second = await start(broker)
  const open = await openEvents(second.events)
  await open.next()
  let isClosed = false
  const closing = broker.app.close(60_000).then(() => {
    isClosed = true
  })
  await waitUntil(() => isClosed)
  await closing
  t.equal(await open.next(), undefined)
})

t.test('a page of an allowed origin may listen, any other not', async (t) => {
  const broker = await startBroker(t, { env: { CORS_ORIGINS: 'https://app.example.com' } })
  const session = await start(broker)
  const allowed = await openEvents(session.events, { origin: 'https://app.example.com' })
  t.equal(allowed.response.headers.get('access-control-allow-origin'), 'https://app.example.com')
  allowed.close()
  const other = await openEvents(session.events, { origin: 'https://evil.example' })
  t.equal(other.response.headers.get('access-control-allow-origin'), null)
  other.close()
})
