import t, { type Test } from 'tap'
import { ask } from '../gateway/fixtures/client.ts'
import { setUp } from '../gateway/fixtures/upstream.ts'
import { startBroker } from '../support/broker.ts'
import { waitUntil } from '../support/wait-until.ts'

const CANARY = 'canary-0123456789'

t.test('a line an answer: route, status and who, but nothing of query, headers or body', async (t) => {
  const { broker, key, configId, v1 } = await setUp(t)
  broker.log.length = 0
  const headers = {
    'x-custom': CANARY,
    cookie: CANARY,
    'user-agent': CANARY,
    'content-type': 'application/json',
  }
  await ask(`${v1}/chat/completions?q=${CANARY}`, { key, body: { model: 'model-a', user: CANARY }, headers })
  await ask(`${v1}/${CANARY}`, { key: `sk-tb-${CANARY}`, headers })
  await ask(`${broker.origin}/api/qwen/oauth/status?session_id=${CANARY}`, { headers })
  await ask(`${broker.origin}/api/models/configs/${CANARY}?a=${CANARY}`, { headers })
  await waitUntil(() => broker.log.length >= 4)
  const lines = broker.log.map((line) => JSON.parse(line) as Record<string, unknown>)
  t.match(lines[0], {
    level: 'info',
    status: 200,
    configId,
    model: 'model-a',
    attempt: 1,
    ms: Number,
    msg: 'call',
  })
  t.ok(lines.every((line) => typeof line['requestId'] === 'string'))
  t.ok(lines.some((line) => line['route'] === '/api/:provider/oauth/status' && line['status'] === 404))
  t.notMatch(broker.log.join(''), CANARY)
  t.notMatch(broker.log.join(''), key.slice(6))
})

async function loggedIp(t: Test, trusted: string | undefined, forwardedFor: string): Promise<unknown> {
  const broker = await startBroker(t, { env: { TRUSTED_PROXIES: trusted } })
  await ask(`${broker.origin}/api/keys`, { headers: { 'x-forwarded-for': forwardedFor } })
  await waitUntil(() => broker.log.some((line) => line.includes('/api/keys')))
  const line = broker.log.find((text) => text.includes('/api/keys'))
  return (JSON.parse(line ?? '{}') as Record<string, unknown>)['ip']
}

t.test('X-Forwarded-For counts from trusted proxies only', async (t) => {
  t.equal(await loggedIp(t, undefined, '203.0.113.9'), '127.0.0.1')
  t.equal(await loggedIp(t, '10.0.0.0/8', '203.0.113.9'), '127.0.0.1')
  t.equal(await loggedIp(t, '127.0.0.0/8', '203.0.113.9'), '203.0.113.9')
  t.equal(
    await loggedIp(t, '127.0.0.1', '198.51.100.7, 203.0.113.9'),
    '203.0.113.9',
    'what a client adds is not believed',
  )
})
