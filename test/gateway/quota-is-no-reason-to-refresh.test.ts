import t from 'tap'
import { logIn } from './fixtures/sandbox-calls.ts'

const ANSWERS = [
  { status: 403, body: { error: { code: 'insufficient_quota', message: 'Free allocated quota exceeded.' } } },
  {
    status: 429,
    body: { error: { code: 'quota_exceeded', message: 'x' } },
    headers: { 'retry-after': '60' },
  },
  { status: 429, body: { error: { code: 'rate_limit', message: 'slow down' } } },
  { status: 403, body: { error: { code: 'forbidden', message: 'x' } } },
  { status: 403, body: '<html>WAF</html>' },
  { status: 400, body: { error: { code: 'invalid_parameter_error', message: 'x' } } },
  { status: 500, body: { error: 'x' } },
  { status: 504, body: '<html>Gateway</html>' },
]

t.test('whatever upstream says other than 401 comes back as it is, and nothing is refreshed', async (t) => {
  const { broker, configId, chat } = await logIn(t)
  const { counts, faults } = broker.sandbox
  for (const [index, expected] of ANSWERS.entries()) {
    faults.next('upstream', expected)
    const answer = await chat()
    t.equal(answer.status, expected.status)
    const text = typeof expected.body === 'string' ? expected.body : JSON.stringify(expected.body)
    t.equal(answer.body.toString(), text)
    t.equal(answer.headers['retry-after'], expected.headers?.['retry-after'])
    t.equal(counts.upstreamCalls, index + 1, 'nor sent again')
  }
  t.equal(counts.refreshRequests, 0)
  const { body } = await broker.admin('GET', `/api/models/configs/${configId}`)
  t.equal(body.credential.state, 'active')
})
