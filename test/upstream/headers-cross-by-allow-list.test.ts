import fc from 'fast-check'
import t from 'tap'
import type { HeaderList } from '../../src/http1/header-list.ts'
import { PLAIN_UPSTREAM } from '../../src/provider/upstream-config.ts'
import { RequestHeaders, responseHeaders } from '../../src/upstream/headers.ts'

function toList(object: Readonly<Record<string, string | string[]>>): HeaderList {
  return Object.entries(object).flatMap(([name, value]) => [value].flat().flatMap((one) => [name, one]))
}

function toObject(list: HeaderList): Record<string, string> {
  const headers: Record<string, string> = {}
  for (let i = 0; i < list.length; i += 2) headers[list[i] ?? ''] = list[i + 1] ?? ''
  return headers
}

const NEVER_UP = {
  host: 'broker.internal',
  authorization: 'Bearer sk-tb-client',
  'x-api-key': 'sk-tb-client',
  'api-key': 'sk-tb-client',
  'proxy-authorization': 'Basic x',
  cookie: 'session=1',
  'set-cookie': ['a=1'],
  connection: 'keep-alive, x-evil',
  'keep-alive': 'timeout=5',
  'transfer-encoding': 'chunked',
  te: 'trailers',
  trailer: 'x',
  upgrade: 'h2c',
  'content-length': '3',
  expect: '100-continue',
  origin: 'https://app.example.com',
  referer: 'https://app.example.com/secret',
  forwarded: 'for=10.0.0.1',
  'x-forwarded-for': '10.0.0.1',
  'x-forwarded-host': 'broker.internal',
  'x-real-ip': '10.0.0.1',
  'user-agent': 'client/1',
  'x-dashscope-authtype': 'mine',
  'x-evil': '1',
  'x-stainless-lang': 'js',
  'anthropic-api-key': 'k',
  'openai-access-token': 'k',
  openai: 'x',
}
const ALWAYS_UP = {
  accept: 'text/event-stream',
  'accept-encoding': 'gzip, br',
  'accept-language': 'zh',
  'content-type': 'application/json',
  'content-encoding': 'gzip',
  'idempotency-key': 'k-1',
  'openai-organization': 'org',
  'openai-project': 'project',
  'anthropic-version': '2023-06-01',
  'anthropic-beta': 'files',
  'anthropic-user-profile-id': 'profile',
  'anthropic-of-tomorrow': 'x',
  'openai-beta': 'assistants=v2',
  range: 'bytes=0-1',
  traceparent: '00-1-2-01',
  'x-client-request-id': 'c-1',
}

t.test('only listed headers go up', async (t) => {
  const list = new RequestHeaders(PLAIN_UPSTREAM).of({ ...NEVER_UP, ...ALWAYS_UP })
  t.same(toObject(list), { ...ALWAYS_UP, 'user-agent': 'token-broker' })
})

t.test("the provider's headers win over the client's, and name the client if they like", async (t) => {
  const extra = { 'x-dashscope-authtype': 'qwen-oauth', 'user-agent': 'QwenCode/1.0', accept: '*/*' }
  const rules = new RequestHeaders({ ...PLAIN_UPSTREAM, headers: extra })
  const list = rules.of({ ...NEVER_UP, ...ALWAYS_UP })
  t.match(toObject(list), extra)
  const names = list.filter((_, index) => index % 2 === 0)
  t.equal(new Set(names).size, names.length, 'none twice')
})

t.test("of vendors' headers none that is for this hop, nor one that the provider says itself", async (t) => {
  const client = { ...ALWAYS_UP, connection: 'close, Anthropic-Beta' }
  const headers = { 'openai-project': 'the file says' }
  const sent = toObject(new RequestHeaders({ ...PLAIN_UPSTREAM, headers }).of(client))
  t.notOk('anthropic-beta' in sent)
  t.match(sent, { ...headers, 'anthropic-version': '2023-06-01' })
})

t.test('only listed headers come back', async (t) => {
  const comes = {
    'content-type': 'text/event-stream',
    'content-length': '3',
    'content-encoding': 'gzip',
    'cache-control': 'no-cache',
    'retry-after': '3',
    'retry-after-ms': '3000',
    'x-should-retry': 'false',
    'x-ratelimit-limit-requests': '60',
    'openai-processing-ms': '12',
    'x-dashscope-request-id': 'r-1',
    'request-id': 'r-2',
    link: '</v2>; rel="successor-version"',
    deprecation: '@1688169599',
    sunset: 'Sun, 30 Jun 2030 23:59:59 GMT',
    'server-timing': 'db;dur=53',
  }
  const stays = {
    'set-cookie': ['a=1'],
    'set-cookie2': 'a=1',
    connection: 'close',
    'keep-alive': 'timeout=5',
    'transfer-encoding': 'chunked',
    trailer: 'x',
    upgrade: 'h2c',
    location: 'https://evil.com',
    server: 'nginx',
    'www-authenticate': 'Bearer',
    'strict-transport-security': 'max-age=1',
    'access-control-allow-origin': '*',
    'content-security-policy': 'none',
    'x-request-id': 'theirs',
    'x-token-broker-trace': 'theirs',
    'alt-svc': 'h3=":443"',
    'x-ratelimi': '1',
  }
  t.same(toObject(responseHeaders(toList({ ...stays, ...comes }))), comes)
})

const VENDORS = /^(anthropic|openai)-(?!.*(key|auth|authorization|token)$)/

t.test('no name beyond the lists crosses, however it is made', async (t) => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/)
  const rules = new RequestHeaders(PLAIN_UPSTREAM)
  const known = new Set([...Object.keys(ALWAYS_UP), 'if-none-match', 'tracestate', 'user-agent'])
  const run = fc.check(
    fc.property(fc.dictionary(name, fc.string()), (client) => {
      const sent = rules.of(client).filter((_, index) => index % 2 === 0)
      return sent.every((crossed) => known.has(crossed) || VENDORS.test(crossed))
    }),
  )
  t.equal(run.failed, false, JSON.stringify(run.counterexample))
})
