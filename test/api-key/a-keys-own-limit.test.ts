import t from 'tap'
import { KeyLimits } from '../../src/api-key/key-limits.ts'
import type { BrokerError } from '../../src/base/errors.ts'
import { ask } from '../gateway/fixtures/client.ts'
import { addKey, setUp } from '../gateway/fixtures/upstream.ts'

t.test('as many calls as allowed in any minute, whole or not', async (t) => {
  const limits = new KeyLimits()
  const key = { id: 'a', requestsPerMinute: 3 }
  const retryAfter = (now: number): number | undefined => {
    try {
      limits.count(key, now)
      return undefined
    } catch (error) {
      t.equal((error as BrokerError).code, 'rate_limit_exceeded')
      return (error as BrokerError).retryAfterSeconds
    }
  }
  const table: [now: number, retryAfterSeconds: number | undefined][] = [
    [0, undefined],
    [20_000, undefined],
    [59_999, undefined],
    [59_999, 0.001],
    [60_000, undefined], // the first is a minute old
    [60_001, 19.999],
    [79_999, 0.001],
    [80_000, undefined],
    [80_000, 39.999],
    [200_000, undefined],
  ]
  for (const [now, seconds] of table) t.equal(retryAfter(now), seconds, String(now))
  t.doesNotThrow(() => limits.count({ id: 'b', requestsPerMinute: 1 }, 200_000), 'each key for itself')
  for (let count = 0; count < 100; count += 1) limits.count({ id: 'c', requestsPerMinute: null }, 0)
})

t.test('over it: 429 with when to come back, and upstream is not asked', async (t) => {
  const { broker, upstream, configId, key: other, v1 } = await setUp(t)
  const key = await addKey(broker, { model_config_ids: [configId], requests_per_minute: 2 })
  const call = (as: string) => ask(`${v1}/chat/completions`, { key: as, body: { model: 'model-a' } })
  t.equal((await call(key)).status, 200)
  t.equal((await call(key)).status, 200)
  const answer = await call(key)
  t.equal(answer.status, 429)
  t.match(JSON.parse(answer.body.toString()), {
    error: { code: 'rate_limit_exceeded', type: 'rate_limit_error' },
  })
  const seconds = Number(answer.headers['retry-after'])
  t.ok(Number.isInteger(seconds) && seconds > 50 && seconds <= 60, `${seconds} s`)
  t.match(answer.headers, {
    'x-ratelimit-limit-requests': '2',
    'x-ratelimit-remaining-requests': '0',
    'x-ratelimit-reset-requests': /^\d+s$/,
  })
  t.equal(upstream.calls.length, 2)
  t.equal((await call(other)).status, 200, 'other keys go on')
})
