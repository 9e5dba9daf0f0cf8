import fc from 'fast-check'
import t from 'tap'
import { Fields } from '../../src/provider/fields.ts'
import { toUpstream, type UpstreamConfig } from '../../src/provider/upstream-config.ts'
import type { UpstreamFile } from '../../src/provider/upstream-file.ts'
import { UpstreamAccess } from '../../src/upstream/access.ts'

const TOKEN = 'at-canary/+='
const TARGET = { origin: 'https://host.example', basePath: '/base/v1' }

function upstreamOf(file: UpstreamFile): UpstreamConfig {
  const fields = new Fields(new Map(), {})
  return toUpstream({ base_url: 'https://host.example/base/v1', ...file }, (text) => text, new Set(), fields)
}

/** A call as it goes up. */
function sent(file: UpstreamFile, target = '/v1/chat/completions', headers = {}, at = TARGET) {
  const request = UpstreamAccess.withToken(at, upstreamOf(file), TOKEN).request({
    method: 'POST',
    target,
    headers,
    body: null,
  })
  return { url: request.origin + request.path, headers: toPairs(request.headers) }
}

function toPairs(list: readonly string[]): string[] {
  return list.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${list[index + 1]}`] : []))
}

const own = ['user-agent: token-broker']

t.test('the credential is shown as the file says, and is the last thing said', async (t) => {
  const url = 'https://host.example/base/v1/chat/completions'
  const table: readonly (readonly [auth: UpstreamFile['auth'], shown: object])[] = [
    [undefined, { url, headers: [...own, `authorization: Bearer ${TOKEN}`] }],
    [
      { header: 'Authorization', scheme: 'token' },
      { url, headers: [...own, `authorization: token ${TOKEN}`] },
    ],
    [{ header: 'Authorization' }, { url, headers: [...own, `authorization: ${TOKEN}`] }],
    [{ header: 'x-api-key' }, { url, headers: [...own, `x-api-key: ${TOKEN}`] }],
    [{ query: 'access_token' }, { url: `${url}?access_token=at-canary%2F%2B%3D`, headers: own }],
  ]
  for (const [auth, shown] of table) t.same(sent(auth ? { auth } : {}), shown, JSON.stringify(auth))
})

t.test("what a client says in the credential's place stays behind, however it is written", async (t) => {
  const clients = [
    'access_token=mine',
    'a=1&ACCESS_TOKEN=mine&b',
    'access%5Ftoken=mine',
    '%61ccess_token',
    'a=1&&b=%2F',
  ]
  const arrives = ['', 'a=1&b&', '', '', 'a=1&b=%2F&']
  for (const [index, query] of clients.entries()) {
    const { url } = sent({ auth: { query: 'access_token' } }, `/v1/models?${query}`)
    t.equal(url.split('?')[1], `${arrives[index]}access_token=at-canary%2F%2B%3D`, query)
  }
  const headers = { 'x-key': 'mine', 'x-key-2': 'passes', authorization: 'Bearer mine' }
  const { headers: up } = sent({ auth: { header: 'X-Key' }, pass_headers: ['x-key*'] }, undefined, headers)
  t.same(up, ['x-key-2: passes', ...own, `x-key: ${TOKEN}`])
})

t.test('parameters of the file win; headers to append are joined to those of the client', async (t) => {
  const file = {
    query: { 'api-version': '2024-10-21', x: 'a b&c' },
    append_headers: { 'Anthropic-Beta': 'oauth-1,more' },
    headers: { 'Anthropic-Version': '2023-06-01' },
  }
  const { url } = sent(file, '/v1/messages?Api-Version=1&y=%20+&x')
  t.equal(url, 'https://host.example/base/v1/messages?y=%20+&api-version=2024-10-21&x=a%20b%26c')
  for (const [client, joined] of [
    [undefined, 'oauth-1,more'],
    ['', 'oauth-1,more'],
    ['tools-2', 'tools-2,oauth-1,more'],
    ['more, tools-2', 'more, tools-2,oauth-1'],
    ['oauth-1, more', 'oauth-1, more'],
  ]) {
    const client_ = { 'anthropic-beta': client, 'anthropic-version': '2099-01-01' }
    const { headers } = sent(file, undefined, client_)
    t.same(headers, [
      `anthropic-beta: ${joined}`,
      ...own,
      'anthropic-version: 2023-06-01',
      `authorization: Bearer ${TOKEN}`,
    ])
  }
})

t.test('a default stands where the client says nothing', async (t) => {
  const file = { default_headers: { 'Anthropic-Version': '2023-06-01', 'x-tenant': 'a' } }
  for (const [client, version, tenant] of [
    [{}, '2023-06-01', 'a'],
    [{ 'anthropic-version': '', 'x-tenant': '' }, '2023-06-01', 'a'],
    [{ 'anthropic-version': '2099-01-01', 'x-tenant': 'b' }, '2099-01-01', 'b'],
  ] as const) {
    const { headers } = sent(file, undefined, client)
    t.same(headers, [
      `anthropic-version: ${version}`,
      `x-tenant: ${tenant}`,
      ...own,
      `authorization: Bearer ${TOKEN}`,
    ])
  }
})

const ROUTES: UpstreamFile = {
  headers: { 'x-general': '1' },
  query: { general: '1' },
  routes: [
    {
      prefix: '/messages',
      base_url: '/anthropic/v1/',
      auth: { header: 'x-api-key' },
      headers: { 'x-own': '2' },
    },
    { prefix: '/messages/batches', base_url: 'https://batches.example/b', query: {} },
    { prefix: '/same', auth: { query: 'key' } },
  ],
}

t.test('a route is taken by the longest prefix that ends where a segment does', async (t) => {
  const [general, messages, batches] = [
    'https://host.example/base/v1',
    'https://host.example/anthropic/v1',
    'https://batches.example/b',
  ]
  const table: readonly (readonly [target: string, url: string])[] = [
    ['/v1/chat/completions', `${general}/chat/completions?general=1`],
    ['/v1/messages', `${messages}/messages?general=1`],
    ['/v1/messages?x=1', `${messages}/messages?x=1&general=1`],
    ['/v1/messages/', `${messages}/messages/?general=1`],
    ['/v1/messages/count_tokens', `${messages}/messages/count_tokens?general=1`],
    ['/v1/messages/batches', `${batches}/messages/batches`],
    ['/v1/messages/batches/1?x', `${batches}/messages/batches/1?x`],
    ['/v1/messages/batches2', `${messages}/messages/batches2?general=1`],
    ['/v1/messages2', `${general}/messages2?general=1`],
    ['/v1/x/messages', `${general}/x/messages?general=1`],
    ['/v1/%6dessages', `${general}/%6dessages?general=1`],
    ['/v1/same/1', `${general}/same/1?general=1&key=at-canary%2F%2B%3D`],
  ]
  for (const [target, url] of table) t.equal(sent(ROUTES, target).url, url)
})

t.test('what a route says stands in the place of what holds for all others', async (t) => {
  t.same(sent(ROUTES, '/v1/messages').headers, [...own, 'x-own: 2', `x-api-key: ${TOKEN}`])
  const general = [...own, 'x-general: 1', `authorization: Bearer ${TOKEN}`]
  t.same(sent(ROUTES, '/v1/messages/batches').headers, general)
  t.same(sent(ROUTES, '/v1/same').headers, general.slice(0, 2))
})

t.test("what goes to a server of one's own reaches no host that a route names", async (t) => {
  const at = { origin: 'https://mine.example', basePath: '/m' }
  t.equal(sent(ROUTES, '/v1/messages', {}, at).url, 'https://mine.example/anthropic/v1/messages?general=1')
  t.equal(
    sent(ROUTES, '/v1/messages/batches', {}, at).url,
    'https://mine.example/anthropic/v1/messages/batches?general=1',
  )
  const elsewhere = { origin: TARGET.origin, basePath: '/another/plan' }
  t.equal(
    sent(ROUTES, '/v1/messages/batches', {}, elsewhere).url,
    'https://batches.example/b/messages/batches',
  )
})

t.test('no target reaches an origin or a path that the file does not name', async (t) => {
  const piece = fc.oneof(
    fc.constantFrom(
      'messages',
      'batches',
      '..',
      '.',
      '',
      'same',
      '%2e%2e',
      ';x',
      '//evil.example',
      '@evil',
      '\\evil',
      '?',
      '#',
    ),
    fc.string({ maxLength: 6 }),
  )
  const places = [
    'https://host.example/base/v1/',
    'https://host.example/anthropic/v1/',
    'https://batches.example/b/',
  ]
  const run = fc.check(
    fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      try {
        const { url } = sent(ROUTES, `/v1/${pieces.join('/')}`)
        return places.some((place) => new URL(url).href.startsWith(place))
      } catch (error) {
        return (error as { code?: string }).code === 'invalid_path'
      }
    }),
    { numRuns: 5_000 },
  )
  t.equal(run.failed, false, JSON.stringify(run.counterexample))
})
