/** How long a config rests after an answer, by what the vendors say: some limits pass, others wait for a person. */
import t from 'tap'
import { restAfterAnswer } from '../../src/gateway/failover.ts'
import { toProvider } from '../../src/provider/provider.ts'
import { configOf } from './fixtures/configs.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND

const PROVIDER = toProvider(
  'strict',
  { credential: 'api_key', upstream: {}, errors: { quota: ['own_quota', '429'] } },
  { file: 'strict.yaml', env: {}, allowInsecureLoopback: false, sandboxOrigin: undefined },
)
const route = { config: configOf('a', ['m']), model: 'm' }

function restOf(
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
  target = '/v1/messages?beta=true',
) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const head = { status, headers: Object.entries(headers).flat() }
  return restAfterAnswer({ head, route, call: { peek: async () => Buffer.from(text) } }, PROVIDER, target)
}

const openai = (code: string | null, message = 'x', type = 'requests') => ({
  error: { message, type, param: null, code },
})
const anthropic = (type: string, message = 'x', more = {}) => ({
  type: 'error',
  error: { type, message, ...more },
})
const YOURS = 'You exceeded your current quota, please check your plan and billing details.'
const CREDIT = 'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.'
const SPENT = { details: { error_code: 'enforced_spend_limit_reached' } }

const STOPS = 5 * MINUTE
type Row = [
  what: string,
  status: number,
  body: unknown,
  ms: number | undefined,
  headers?: Record<string, string>,
]

const ROWS: readonly Row[] = [
  ['Anthropic: too fast', 429, anthropic('rate_limit_error'), 7 * SECOND, { 'retry-after': '7' }],
  ['Anthropic: too fast, without a time', 429, anthropic('rate_limit_error'), 30 * SECOND],
  ['Anthropic: a spend limit', 429, anthropic('rate_limit_error', 'x', SPENT), STOPS],
  ['Anthropic: billing', 402, anthropic('billing_error'), STOPS],
  ['Anthropic: no credit', 400, anthropic('invalid_request_error', CREDIT), STOPS],
  [
    'Anthropic: what the client wrote',
    400,
    anthropic('invalid_request_error', `not a role: ${CREDIT}`),
    undefined,
  ],
  ['Anthropic: a mistake', 400, anthropic('invalid_request_error', 'prompt is too long'), undefined],
  ['Anthropic: overloaded', 529, anthropic('overloaded_error'), 10 * SECOND],
  [
    'Anthropic: overloaded, with a time',
    529,
    anthropic('overloaded_error'),
    20 * SECOND,
    { 'retry-after': '20' },
  ],
  ['OpenAI: too fast', 429, openai('rate_limit_exceeded'), 12, { 'x-ratelimit-reset-requests': '12ms' }],
  ['OpenAI: slow down', 429, openai('slow_down'), 30 * SECOND],
  ['OpenAI: overloaded', 503, openai('server_is_overloaded'), 10 * SECOND],
  [
    'OpenAI: in milliseconds',
    429,
    openai('rate_limit_exceeded'),
    1_500,
    { 'retry-after-ms': '1500', 'retry-after': '9' },
  ],
  ['OpenAI: no quota', 429, openai('insufficient_quota', YOURS, 'insufficient_quota'), STOPS],
  ['OpenAI: no quota, by its type', 429, openai(null, YOURS, 'insufficient_quota'), STOPS],
  ['OpenAI: no credit', 429, openai('credit_balance_exhausted'), STOPS, { 'retry-after': '1' }],
  ['OpenAI: spent', 429, openai('organization_spend_limit_exceeded'), STOPS],
  ['OpenAI: spent by a project', 429, openai('project_spend_limit_exceeded'), STOPS],
  ['OpenAI: used', 429, openai('organization_usage_limit_exceeded'), 8 * MINUTE, { 'retry-after': '480' }],
  [
    'DashScope: calls a minute',
    429,
    { code: 'Throttling.RateQuota', message: 'Requests rate limit exceeded' },
    MINUTE,
  ],
  ['DashScope: too sudden', 429, openai('limit_burst_rate', 'Request rate increased too quickly.'), MINUTE],
  [
    'DashScope: tokens a minute',
    429,
    { code: 'Throttling.AllocationQuota', message: 'Allocated quota exceeded, please increase.' },
    MINUTE,
  ],
  [
    'DashScope: the same in OpenAI’s shape',
    429,
    openai('insufficient_quota', 'Allocated quota exceeded, please'),
    MINUTE,
  ],
  [
    'DashScope: the same in OpenAI’s words',
    429,
    openai('insufficient_quota', `${YOURS} See: https://help.aliyun.com/x`),
    MINUTE,
  ],
  [
    'DashScope: nothing free left',
    429,
    openai('insufficient_quota', 'Free allocated quota exceeded.'),
    STOPS,
  ],
  ['DashScope: free tier only', 403, { code: 'AllocationQuota.FreeTierOnly', message: 'x' }, STOPS],
  ['DashScope: overdue', 400, openai('Arrearage'), STOPS],
  ['DashScope: not activated', 403, openai('AccessDenied.Unpurchased'), undefined],
  ['Coding Plan: of five hours', 429, openai('x', 'hour allocated quota exceeded'), STOPS],
  ['Coding Plan: of a month', 429, openai('x', 'month allocated quota exceeded'), STOPS],
  ['Coding Plan: at once', 429, openai('x', 'concurrency allocated quota exceeded'), MINUTE],
  ['a code of the file', 403, openai('own_quota'), STOPS],
  ['a code of the file for another status', 429, openai('429'), 30 * SECOND],
  ['a page', 429, '<html>', 30 * SECOND],
  ['a fault', 503, '<html>', 10 * SECOND],
  ['a fault with a time', 500, '', 3 * SECOND, { 'retry-after': '3' }],
  ['what is not there', 404, openai('model_not_found'), undefined],
]

for (const [what, status, body, ms, headers] of ROWS) {
  t.test(`${what}: ${ms === undefined ? 'passed on' : ms}`, async (t) => {
    t.equal((await restOf(status, body, headers))?.ms, ms)
  })
}

t.test(
  'limits and overload are everybody’s where the call is an ordinary one, faults are the call’s',
  async (t) => {
    for (const [what, status, body, ms, headers] of ROWS) {
      if (ms === undefined) continue
      const isFault = what.startsWith('a fault')
      t.equal((await restOf(status, body, headers))?.isForAll, !isFault, what)
      t.equal((await restOf(status, body, headers, '/v1/files'))?.isForAll, false, what)
    }
  },
)

t.test('a body that does not come is not waited for', async (t) => {
  const head = { status: 429, headers: [] }
  const peek = () => new Promise<Buffer>(() => {})
  const rest = await restAfterAnswer({ head, route, call: { peek } }, PROVIDER, '/v1/responses')
  t.same(rest, { ms: 30 * SECOND, isForAll: true, why: '429' })
})
