import t from 'tap'
import { call, startBroker } from '../support/broker.ts'
import { openEvents } from '../support/event-source.ts'
import { waitUntil } from '../support/wait-until.ts'

const PER_SESSION = 5
const PER_CALLER = 100

async function setUp(t: Parameters<typeof startBroker>[0]) {
  const broker = await startBroker(t, { env: { TRUSTED_PROXIES: '127.0.0.1' } })
  let sessions = 0
  const start = async () => {
    sessions += 1
    const headers = { 'x-forwarded-for': `10.1.0.${sessions}` }
    const response = await fetch(`${broker.origin}/api/sandbox/oauth/device-code`, {
      method: 'POST',
      headers,
    })
    return (await response.json()) as { session_id: string; device_code: string }
  }
  const open = async (query: string, address: string) => {
    const url = `${broker.origin}/api/sandbox/oauth/events?${query}`
    const stream = await openEvents(url, { 'x-forwarded-for': address })
    t.teardown(() => stream.close())
    return stream
  }
  return { broker, start, open }
}

t.test(
  'five of one session, by whichever name it is asked for; then one that closes makes room',
  async (t) => {
    const { start, open } = await setUp(t)
    const { session_id, device_code } = await start()
    const queries = [`session_id=${session_id}`, `device_code=${device_code}`]
    const streams = []
    for (let i = 0; i < PER_SESSION; i += 1) streams.push(await open(queries[i % 2] ?? '', `10.2.0.${i}`))
    t.same(new Set(streams.map(({ response }) => response.status)), new Set([200]))
    for (const query of queries) {
      const { response } = await open(query, '10.2.0.99')
      t.equal(response.status, 429)
      t.ok(Number(response.headers.get('retry-after')) > 0)
    }
    const other = await start()
    t.equal(
      (await open(`session_id=${other.session_id}`, '10.2.0.1')).response.status,
      200,
      'another session',
    )
    streams[0]?.close()
    await waitUntil(async () => (await open(queries[0] ?? '', '10.2.0.99')).response.status === 200)
  },
)

t.test('a hundred of one caller; an IPv6 /64 is one', async (t) => {
  const { broker, start, open } = await setUp(t)
  const streams = []
  for (let i = 0; i < PER_CALLER / PER_SESSION; i += 1) {
    const { session_id } = await start()
    for (let k = 0; k < PER_SESSION; k += 1)
      streams.push(await open(`session_id=${session_id}`, `2001:db8:1:2::${i * PER_SESSION + k}`))
  }
  t.same(new Set(streams.map(({ response }) => response.status)), new Set([200]))
  const { session_id } = await start()
  const query = `session_id=${session_id}`
  t.equal((await open(query, '2001:db8:1:2:ffff::1')).response.status, 429)
  t.equal((await open(query, '2001:db8:1:3::1')).response.status, 200, 'the next network')
  t.equal((await call(`${broker.origin}/api/sandbox/oauth/status?${query}`, 'GET')).status, 200)
  streams[7]?.close()
  await waitUntil(async () => (await open(query, '2001:db8:1:2:ffff::1')).response.status === 200)
})
