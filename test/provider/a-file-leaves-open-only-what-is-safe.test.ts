import t from 'tap'
import { goesElsewhere } from '../../src/provider/places.ts'
import type { ProviderFile } from '../../src/provider/provider-file.ts'
import { ProviderMistake } from '../../src/provider/provider-mistake.ts'
import { filled, providerOf } from './fixtures/file.ts'

type Inputs = NonNullable<ProviderFile['inputs']>

const LABEL = '^[a-z0-9-]{1,30}$'

function at(base_url: string, inputs: Inputs): Partial<ProviderFile> {
  return { inputs, upstream: { base_url } }
}

/** The field, and what is said of it. */
function mistakeIn(file: Partial<ProviderFile>): string {
  try {
    providerOf(file)
  } catch (error) {
    if (error instanceof ProviderMistake) return `${error.path.join('.')} ${error.message}`
    throw error
  }
  return 'none'
}

t.test('an address is refused where a value could lead elsewhere', async (t) => {
  const x = { pattern: LABEL }
  const host = { type: 'host' as const, allowed_suffixes: ['.example.com'] }
  const files: [why: string, base_url: string, inputs: Inputs, message: RegExp][] = [
    ['no scheme of the author', '{x}', { x }, /must begin with https/],
    ['a scheme that is filled in', '{x}://a.example', { x }, /must begin with https/],
    ['plain http', 'http://{x}.example.com', { x }, /must be https/],
    ['a whole host of text', 'https://{x}/v1', { x }, /leaves its host open/],
    ['one label of the author', 'https://{x}.com', { x }, /leaves its host open/],
    ['a label begun by the author only', 'https://a{x}', { x }, /leaves its host open/],
    ['a label that is joined to the second', 'https://{x}example.com', { x }, /leaves its host open/],
    ['the end of a host', 'https://api.example.{x}', { x }, /leaves its host open/],
    ['a port', 'https://api.example.com:{x}', { x }, /leaves its host open/],
    ['a digit of a port', 'https://api.example.com:4{x}/v1', { x }, /leaves its host open/],
    ['a user name', 'https://{x}@api.example.com', { x }, /./],
    ['a password', 'https://u:{x}@api.example.com', { x }, /./],
    ['text without a pattern', 'https://{x}.example.com', { x: {} }, /needs choices, or a pattern/],
    ['an open pattern', 'https://{x}.example.com', { x: { pattern: '[a-z]+' } }, /from \^ to \$/],
    ['a pattern open at its end', 'https://{x}.example.com', { x: { pattern: '^[a-z]+' } }, /from \^ to \$/],
    ['an optional input', 'https://{x}.example.com', { x: { ...x, required: false } }, /must be required/],
    ['an optional input in a path', 'https://a.example/{x}', { x: { required: false } }, /must be required/],
    ['a secret in a host', 'https://{x}.example.com', { x: { ...x, secret: true } }, /a secret never/],
    ['a secret in a path', 'https://a.example/{x}', { x: { secret: true } }, /a secret never/],
    ['a query', 'https://a.example/?k={x}', { x }, /query or fragment/],
    ['a fragment', 'https://a.example/#{x}', { x }, /query or fragment/],
    ['no such input', 'https://{y}.example.com', { x }, /which no input gives; inputs: x/],
    ['no such member', 'https://a.example/{x.y}', { x }, /which no input gives/],
    ['a group in a host', 'https://{x.a}.example.com', { x: { pattern: '^(?<a>[a-z]+)$' } }, /pattern from/],
    ['a host beside text', 'https://{h}.example.com', { h: host }, /the whole of it/],
    ['a host in a path', 'https://a.example/{h}', { h: host }, /which is a host, in its path/],
    ['a host with a filter', 'https://{h|lower}/v1', { h: host }, /the whole of it/],
    ['a new identity in a host', 'https://{uuid}.example.com', { x }, /which no input gives/],
    ['a port that is the usual one', 'https://{x}.example.com:443', { x }, /does not lead/],
    ['a path that leads back', 'https://a.example/{x}/../y', { x }, /does not lead/],
  ]
  for (const [why, base_url, inputs, message] of files) {
    const said = mistakeIn(at(base_url, inputs))
    t.match(said, message, `${why}: ${said}`)
    t.match(said, /^upstream\.base_url /, why)
  }
})

t.test('a pattern that takes what ends a host is refused, whichever it takes', async (t) => {
  const ends = ['\\.', '/', '@', ':', '#', '\\?', '\\\\', '%', 'é', '\\n']
  for (const end of ends) {
    const file = at('https://{x}.example.com', { x: { pattern: `^[a-z0-9${end}]+$` } })
    t.match(mistakeIn(file), /its pattern takes/, end)
  }
  const dots = { x: { pattern: '^[a-z.]+$', host_labels: 3 } }
  t.equal(
    mistakeIn(at('https://{x}.example.com', { x: { pattern: '^[a-z](?:[a-z.]*[a-z])?$', host_labels: 3 } })),
    'none',
  )
  t.match(mistakeIn(at('https://{x}.example.com', dots)), /takes "\.\."/)
  t.equal(mistakeIn(at('https://{x}.example.com', { x: { choices: ['a', 'b'] } })), 'none')
})

t.test('an input that cannot be is refused', async (t) => {
  const inputs: [inputs: Inputs, message: RegExp][] = [
    [{ h: { type: 'host' } }, /^inputs\.h needs allowed_suffixes, or any_host/],
    [{ h: { any_host: true } }, /^inputs\.h has type: host/],
    [{ h: { type: 'host', allowed_suffixes: ['.com'] } }, /^inputs\.h\.allowed_suffixes\.0 must be a dot/],
    [
      { h: { type: 'host', allowed_suffixes: ['example.com'] } },
      /^inputs\.h\.allowed_suffixes\.0 must be a dot/,
    ],
    [{ h: { type: 'host', any_host: true, secret: true } }, /^inputs\.h\.secret cannot be/],
    [{ x: { pattern: '(' } }, /^inputs\.x\.pattern is not a regular expression/],
    [{ x: { type: 'json', members: { a: '(' } } }, /^inputs\.x\.members\.a is not a regular/],
    [{ x: { members: { a: '.' } } }, /^inputs\.x\.members need type: json/],
    [{ x: { default: 'c', choices: ['a', 'b'] } }, /^inputs\.x\.default must be one of a, b/],
    [{ x: { help_url: 'http://a.example' } }, /^inputs\.x\.help_url must be an https URL/],
    [{ uuid: {} }, /^inputs\.uuid is a name that stands for something else/],
  ]
  for (const [given, message] of inputs) t.match(mistakeIn({ inputs: given }), message)
})

t.test('whoever may name any host never gets what the file itself keeps secret', async (t) => {
  const inputs: Inputs = { h: { type: 'host', any_host: true } }
  const server = { token_endpoint: 'https://{h}/token', client_id: 'c' }
  const secret = { credential: 'client_credentials' as const, upstream: {} }
  const own = { ...secret, inputs, authorization_server: { ...server, client_secret: 'of-the-file' } }
  t.match(mistakeIn(own), /^authorization_server\.client_secret would go to any host/)
  const byDefault: Inputs = { ...inputs, s: { secret: true, default: 'env:S' } }
  const other = { ...secret, inputs: byDefault, authorization_server: { ...server, client_secret: '{s}' } }
  t.match(mistakeIn(other), /^inputs\.s\.default would go to any host/)
  const escaped = { ...own, authorization_server: { ...server, client_secret: 'of-the-{{file' } }
  t.match(mistakeIn(escaped), /^authorization_server\.client_secret would go/)

  const upstream = { base_url: 'https://{h}/v1' }
  const signed = (key: string | { file: string }): Partial<ProviderFile> => ({
    ...{ credential: 'signed_jwt', inputs: { ...inputs, k: { secret: true } }, upstream },
    signed_jwt: { algorithm: 'HS256', key },
  })
  t.equal(mistakeIn(signed('{k}')), 'none')
  for (const key of ['of-the-file', { file: '/run/secrets/key' }])
    t.match(mistakeIn(signed(key)), /^signed_jwt\.key would go to any host/)

  const response = { token: '/token' }
  const steps = (url: string): Partial<ProviderFile> => ({
    ...{ credential: 'token_request', inputs, upstream },
    token_request: [
      { name: 'first', url, method: 'GET', response },
      { url: 'https://{h}/token', form: { identity: '{first}' }, response },
    ],
  })
  t.equal(mistakeIn(steps('https://vendor.example/first')), 'none')
  const signing = (secret_key: string | { file: string }): Partial<ProviderFile> => ({
    ...{ credential: 'token_request', inputs: { ...inputs, k: { secret: true } }, upstream },
    token_request: [
      {
        ...{ url: 'https://{h}/', response },
        sign: { dialect: 'aws', region: 'r', service: 's', access_key: 'a', secret_key },
      },
    ],
  })
  t.equal(mistakeIn(signing('{k}')), 'none')
  for (const key of ['env:K', { file: '/run/secrets/key' }])
    t.match(mistakeIn(signing(key)), /^token_request\.0\.sign\.secret_key would go to any host/)
  const machines = steps('http://169.254.169.254/latest/identity')
  t.match(mistakeIn(machines), /^token_request\.0\.url would go to any host/)
})

t.test('what asks another server first is asked nothing that others may hear', async (t) => {
  const response = { token: '/token' }
  const file = (url: string, form = {}, tenant: Inputs = {}): Partial<ProviderFile> => ({
    ...{ credential: 'token_exchange', inputs: { t: { pattern: '^[a-z]+$' }, ...tenant }, upstream: {} },
    authorization_server: { token_endpoint: 'https://auth.example/token' },
    subject_token: { token_request: [{ url, form, response }] },
  })
  const at = (url: string, t: string) => filled(file(url), { t })
  t.ok(goesElsewhere(at('https://{t}.idp.example/', 'a'), at('https://{t}.idp.example/', 'b')))
  t.notOk(goesElsewhere(at('https://idp.example/{t}', 'a'), at('https://idp.example/{t}', 'b')))
  t.match(
    mistakeIn(file('https://{t}.example/')),
    /^subject_token\.token_request\.0\.url .*leaves its host open/,
  )
  t.match(
    mistakeIn(file('https://idp.example/', { a: '{idp.token}' })),
    /^subject_token\.token_request\.0\.form\.a has \{idp\.token\}, which no input gives/,
  )
  const open = file('https://{h}/', {}, { h: { type: 'host', any_host: true } })
  t.match(mistakeIn(open), /^subject_token would go to any host/)
  t.ok(filled(file('https://idp.example/'), { t: 'a' }).refresh.isShared)
  const machine = file('http://169.254.169.254/identity')
  t.notOk(filled(machine, { t: 'a' }).refresh.isShared, 'another machine is another identity')
  const login: Partial<ProviderFile> = {
    ...{ credential: 'device_code', upstream: {} },
    authorization_server: {
      ...{ issuer: 'https://auth.example', client_id: 'c' },
      client_assertion: { token_request: [{ url: 'https://idp.example/', response }] },
    },
  }
  t.match(mistakeIn(login), /^authorization_server\.client_assertion of a login is asked of no other server/)
})

t.test('steps name what the steps before them keep, and nothing else', async (t) => {
  const steps = (text: string): Partial<ProviderFile> => ({
    ...{ credential: 'token_request', upstream: {} },
    token_request: [
      { name: 'idp', url: 'https://idp.example/', response: { token: '/t', keep: { project: '/p' } } },
      { url: 'https://vendor.example/', form: { a: text }, response: { token: '/t' } },
    ],
  })
  for (const fine of ['{idp}', '{idp.token}', '{idp.project}', '{uuid}'])
    t.equal(mistakeIn(steps(fine)), 'none', fine)
  for (const wrong of ['{idp.tokens}', '{step1.token}', '{login.token}', '{subject_token}'])
    t.match(mistakeIn(steps(wrong)), /^token_request\.1\.form\.a has .*, which no input gives/, wrong)
})

t.test('a step that is signed says nothing else of who asks', async (t) => {
  const sign = { dialect: 'volcengine', region: 'r', service: 's', access_key: 'a', secret_key: 'b' } as const
  const step = (way: object): Partial<ProviderFile> => ({
    ...{ credential: 'token_request', upstream: {} },
    token_request: [{ url: 'https://vendor.example/', sign, response: { token: '/t' }, ...way }],
  })
  t.equal(mistakeIn(step({ headers: { 'x-a': 'b' } })), 'none')
  for (const way of [{ basic: { user: 'a', password: 'b' } }, { headers: { Authorization: 'Bearer a' } }])
    t.match(mistakeIn(step(way)), /^token_request\.0\.sign is the authorization; there is another/)
})

t.test('a region is one, whatever a config says', async (t) => {
  const file: Partial<ProviderFile> = {
    credential: 'aws_sigv4',
    inputs: { region: { required: false } },
    aws_sigv4: { region: '{region}', service: 's' },
    upstream: { base_url: 'https://a.example/v1' },
  }
  t.equal(filled(file, { region: 'eu-west-1' }).awsSigV4?.region, 'eu-west-1')
  for (const region of ['sts.evil.example/{', '{', '{region}', 'EU', 'a.b', 'eu-west-1.evil.example/']) {
    const { lacking, awsSigV4 } = filled(file, { region })
    t.match(lacking, [{ input: 'region', why: { english: /region, such as us-east-1/ } }], region)
    t.equal(awsSigV4?.region, '{region}', region)
  }
  t.match(filled(file, {}).lacking, [{ input: 'region' }])
})

t.test('an address is filled so that it leads where the author said', async (t) => {
  const inputs: Inputs = {
    x: { pattern: '^[a-zA-Z0-9-]{1,30}$' },
    s: {},
    d: { pattern: '^[a-z]+(?:\\.[a-z]+)*$', host_labels: 3 },
    h: { type: 'host', allowed_suffixes: ['.cloud.example.com'] },
    o: { type: 'host', any_host: true },
  }
  const all = { x: 'abc', s: 'q', d: 'a.b.c', h: 'w.cloud.example.com', o: 'any.example.net' }
  const cases: [base_url: string, values: object, expected: string | undefined][] = [
    ['https://{x}.example.com/v1', {}, 'https://abc.example.com/v1'],
    ['https://{x|lower}.example.com/v1', { x: 'ABC' }, 'https://abc.example.com/v1'],
    ['https://{x}.example.com/v1', { x: 'ABC' }, undefined],
    ['https://{x}.example.com/v1', { x: '-a' }, undefined],
    ['https://{x}-b.{d}.example.com:8443', {}, 'https://abc-b.a.b.c.example.com:8443'],
    ['https://{d}.example.com', { d: 'a.b.c.d' }, undefined],
    ['https://a.example/{s}/v1', { s: 'a/b?c#d e' }, 'https://a.example/a%2Fb%3Fc%23d%20e/v1'],
    ['https://a.example/{s}/v1', { s: '..' }, undefined],
    ['https://a.example/{s}/v1', { s: '.' }, undefined],
    ['https://a.example/.{s}', { s: '.' }, undefined],
    ['https://a.example/{s}', { s: '%2e%2e' }, 'https://a.example/%252e%252e'],
    ['https://a.example/{s}', { s: '\ud800' }, undefined],
    ['https://{h}/v1', {}, 'https://w.cloud.example.com/v1'],
    ['https://{h}/v1', { h: 'cloud.example.com' }, undefined],
    ['https://{h}/v1', { h: 'xcloud.example.com' }, undefined],
    ['https://{h}/v1', { h: 'w.cloud.example.com.evil.example' }, undefined],
    ['https://{h}/v1', { h: 'evil.example/.cloud.example.com' }, undefined],
    ['https://{h}/v1', { h: 'evil.example#.cloud.example.com' }, undefined],
    ['https://{o}/v1', {}, 'https://any.example.net/v1'],
    ['https://{o}', { o: 'any.example.net/realms/staff' }, 'https://any.example.net/realms/staff'],
    ['https://{o}', { o: 'any.example.net/a/../b' }, undefined],
    ['https://{o}/v1', { o: 'any.example.net/realms' }, undefined],
    ['https://{o}/v1', { o: '127.0.0.1' }, undefined],
    ['https://{o}/v1', { o: '0x7f.1' }, undefined],
    ['https://{o}/v1', { o: 'localhost' }, undefined],
    ['https://{o}/v1', { o: 'a.example:8443' }, undefined],
    ['https://{o}/v1', { o: 'u@a.example' }, undefined],
    ['https://{o}/v1', { o: 'A.example' }, undefined],
  ]
  for (const [base_url, values, expected] of cases) {
    const provider = filled(at(base_url, inputs), { ...all, ...values })
    const said = `${base_url} ${JSON.stringify(values)}`
    t.equal(provider.lacking.length > 0 ? undefined : provider.upstream.baseUrl, expected, said)
    t.equal(provider.egress?.isConfined ?? false, base_url.includes('{o}'), said)
  }
})
