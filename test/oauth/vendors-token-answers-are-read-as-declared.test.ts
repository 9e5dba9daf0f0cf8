/** What a vendor's own token answer says, by the pointers and units of its provider file; nothing is guessed. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { NO_PROXY } from '../../src/http1/egress-proxy.ts'
import { requestBySteps } from '../../src/oauth/token-request.ts'
import { toProvider, withInputs } from '../../src/provider/provider.ts'
import { createLoginAgent } from '../../src/upstream/agent.ts'
import { openWire, type Wire } from '../provider/fixtures/wire.ts'

const NOW = 1_800_000_000_000
const HOUR = 3_600_000
const TOKEN = 'vendor-token-0123456789'
const around = { file: 'p.yaml', env: {}, allowInsecureLoopback: false, sandboxOrigin: undefined }

function jwt(exp: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none' })}.${part({ exp })}.c2ln`
}

async function asked(wire: Wire, response: object, answer: Wire['answers'][number], refused: string[] = []) {
  const provider = toProvider(
    'p',
    {
      credential: 'token_request',
      token_request: [{ url: 'https://vendor.example/token', response } as never],
      upstream: { base_url: 'https://vendor.example/v1' },
      errors: { refused },
    },
    around,
  )
  wire.answers = [answer]
  return requestBySteps({
    provider: withInputs(provider, new Map()),
    dispatcher: wire.dispatcher,
    clock: () => NOW,
  })
}

const json = (body: unknown, fields: object = {}) => ({ body: JSON.stringify(body), ...fields })
const at = (pointer: string, unit: string) => ({ token: '/t', expires: { pointer, unit } })
const IN_AN_HOUR = { kind: 'tokens', tokens: { accessToken: TOKEN, expiresAt: NOW + HOUR } }
const UNTIL_REFUSED = { kind: 'tokens', tokens: { accessToken: TOKEN, expiresAt: undefined } }

const ANSWERS: [name: string, response: object, answer: Wire['answers'][number], expected: object][] = [
  ['seconds left', at('/e', 'seconds_left'), json({ t: TOKEN, e: 3_600 }), IN_AN_HOUR],
  ['seconds left, as a text', at('/e', 'seconds_left'), json({ t: TOKEN, e: ' 3600 ' }), IN_AN_HOUR],
  ['epoch seconds', at('/e', 'epoch_s'), json({ t: TOKEN, e: (NOW + HOUR) / 1000 }), IN_AN_HOUR],
  ['epoch milliseconds', at('/e', 'epoch_ms'), json({ t: TOKEN, e: NOW + HOUR }), IN_AN_HOUR],
  ['RFC 3339', at('/e', 'rfc3339'), json({ t: TOKEN, e: new Date(NOW + HOUR).toISOString() }), IN_AN_HOUR],
  [
    'deep, and escaped',
    { token: '/a/b~1c/0', expires: { pointer: '/a/x~0y', unit: 'epoch_ms' } },
    json({ a: { 'b/c': [TOKEN], 'x~y': NOW + HOUR } }),
    IN_AN_HOUR,
  ],
  [
    'a header each',
    { token: { header: 'X-Subject-Token' }, expires: { header: 'X-Ends', unit: 'epoch_ms' } },
    json({}, { status: 201, headers: { 'x-subject-token': TOKEN, 'x-ends': String(NOW + HOUR) } }),
    IN_AN_HOUR,
  ],
  [
    'a text with a byte order mark',
    { token: { text: true }, lifetime_seconds: 3_600 },
    { headers: { 'content-type': 'text/plain' }, body: `\ufeff${TOKEN}\r\n` },
    IN_AN_HOUR,
  ],
  [
    'a lifetime of the file’s, where it does not say',
    { ...at('/e', 'epoch_s'), lifetime_seconds: 3_600 },
    json({ t: TOKEN }),
    IN_AN_HOUR,
  ],
  ['nothing at all', { token: '/t' }, json({ t: TOKEN }), UNTIL_REFUSED],
  [
    'the token’s own word',
    { token: '/t', expires: { unit: 'jwt_exp' } },
    json({ t: jwt((NOW + HOUR) / 1000) }),
    { kind: 'tokens', tokens: { expiresAt: NOW + HOUR } },
  ],
  [
    'a resource_url',
    { token: '/t', resource_url: '/endpoints/api' },
    json({ t: TOKEN, endpoints: { api: 'https://x.example' } }),
    { kind: 'tokens', tokens: { metadata: { resource_url: 'https://x.example' } } },
  ],
  ['30 KiB in a body', { token: '/t' }, json({ t: 'a'.repeat(30 * 1024) }), { kind: 'tokens' }],
  [
    'milliseconds read as seconds',
    at('/e', 'epoch_s'),
    json({ t: TOKEN, e: NOW + HOUR }),
    { kind: 'not_processed', why: 'status 200, it ends in more than ten years, read as epoch_s' },
  ],
  ['no number', at('/e', 'epoch_s'), json({ t: TOKEN, e: 'soon' }), { kind: 'not_processed', why: /"soon"/ }],
  ['too long', { token: '/t' }, json({ t: 'a'.repeat(32_769) }), { kind: 'not_processed', why: /32769/ }],
  ['no token', { token: '/t' }, json({}), { kind: 'not_processed', why: /no token/ }],
  ['a blank in it', { token: '/t' }, json({ t: 'a b' }), { kind: 'not_processed', why: /characters/ }],
  [
    '200 with an error',
    { token: '/t', error: '/fault/id' },
    json({ t: TOKEN, fault: { id: 'Denied' } }),
    { kind: 'refused', why: 'status 200 Denied' },
  ],
  [
    '200 with an error of the usual shape',
    { token: '/t' },
    json({ t: TOKEN, error: 'invalid_client' }),
    { kind: 'refused' },
  ],
  ['200 with no error', { token: '/t', error: '/code' }, json({ t: TOKEN, code: 0 }), UNTIL_REFUSED],
  ['400', { token: '/t' }, json({ code: 'Whatever' }, { status: 400 }), { kind: 'refused' }],
  ['503', { token: '/t' }, json({ code: 'Denied' }, { status: 503 }), { kind: 'not_processed' }],
]

for (const [name, response, answer, expected] of ANSWERS) {
  t.test(name, async (t) => {
    t.match(await asked(await openWire(t), response, answer, ['Denied']), expected)
  })
}

t.test('30 KiB in a header', async (t) => {
  const token = 'a'.repeat(30 * 1024)
  const server = createServer((_, response) => response.writeHead(201, { 'x-token': token }).end('{}'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const provider = toProvider(
    'p',
    {
      credential: 'token_request',
      token_request: [
        {
          url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
          response: { token: { header: 'x-token' } },
        },
      ],
      upstream: { base_url: 'https://vendor.example/v1' },
    },
    { ...around, allowInsecureLoopback: true },
  )
  const agent = createLoginAgent(NO_PROXY)
  t.teardown(() => agent.destroy())
  t.match(await requestBySteps({ provider, dispatcher: agent, clock: () => NOW }), {
    kind: 'tokens',
    tokens: { accessToken: token },
  })
})

t.test('what the server quotes of what it was sent is not told', async (t) => {
  const wire = await openWire(t)
  const provider = toProvider(
    'p',
    {
      credential: 'token_request',
      inputs: { key: { label: 'k', secret: true } },
      token_request: [
        {
          ...{ url: 'https://vendor.example/token', form: { key: '{key}' } },
          response: { token: '/t', error: '/fault' },
        },
      ],
      upstream: { base_url: 'https://vendor.example/v1' },
    },
    around,
  )
  const secret = 'hunter2 hunter2'
  wire.answers = [json({ error: 'invalid_client', message: `no such key ${secret}` }, { status: 401 })]
  const filled = withInputs(provider, new Map([['key', secret]]))
  const renewal = await requestBySteps({ provider: filled, dispatcher: wire.dispatcher, clock: () => NOW })
  t.match(renewal, { kind: 'refused', why: /^status 401 invalid_client no such key/ })
  t.notMatch(JSON.stringify(renewal), secret)
  t.match(wire.requests[0], 'key=hunter2+hunter2')
  for (const quoted of [secret, 'Zq8vXw2Lk0Tn5Rb7Yc1Hd3Jf']) {
    wire.answers = [json({ fault: `no ${quoted}` }, { status: 401 })]
    const { why } = (await requestBySteps({
      provider: filled,
      dispatcher: wire.dispatcher,
      clock: () => NOW,
    })) as { why: string }
    t.match(why, /^status 401 no /)
    t.notMatch(why, quoted)
  }
})
