import { generateKeyPairSync } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { withInputs } from '../../src/provider/provider.ts'
import type { ProviderFile } from '../../src/provider/provider-file.ts'
import { filled, given, providerOf } from './fixtures/file.ts'

const AZURE: Partial<ProviderFile> = {
  label: { en: 'Azure', zh: '微软云' },
  credential: 'client_credentials',
  inputs: {
    secret: { label: 'Secret', secret: true, default: 'env:AZURE_SECRET', order: 9 },
    tenant: { label: { en: 'Tenant', zh: '租户' }, pattern: '^[0-9a-f-]{4,36}$', example: '72f9', order: 1 },
    resource: { pattern: '^[a-z0-9-]+$', order: 2 },
    scope: { default: 'https://ai.example/.default' },
    group: { required: false },
  },
  authorization_server: {
    token_endpoint: 'https://login.example.com/{tenant}/token',
    client_id: 'client-{tenant}',
    client_secret: '{secret}',
    scope: '{scope}',
  },
  upstream: { base_url: 'https://{resource}.models.example.com/v1', headers: { 'X-Group': '{group}' } },
}
const VALUES = { tenant: 'abcd', resource: 'mine', secret: 'of-the-config' }

t.test('a file with inputs is a template, and what a config says makes a provider of it', async (t) => {
  const template = providerOf(AZURE)
  t.same(
    template.lacking.map(({ input }) => input),
    ['tenant', 'resource', 'secret'],
  )
  t.equal(template.upstream.baseUrl, 'https://{resource}.models.example.com/v1', 'people see what it is like')
  t.same(
    template.inputs.map(({ name }) => name),
    ['tenant', 'resource', 'secret', 'scope', 'group'],
    'in the order of the form',
  )
  t.same(template.labels, { english: 'Azure', chinese: '微软云' })

  const provider = withInputs(template, given(VALUES))
  t.same(provider.lacking, [])
  t.equal(provider.name, 'mine')
  t.equal(provider.authorizationServer?.tokenEndpoint, 'https://login.example.com/abcd/token')
  t.equal(provider.authorizationServer?.clientId, 'client-abcd')
  t.equal(provider.authorizationServer?.clientSecret?.reveal(), 'of-the-config')
  t.equal(provider.authorizationServer?.scope, 'https://ai.example/.default')
  t.equal(provider.upstream.baseUrl, 'https://mine.models.example.com/v1')
  t.same(provider.upstream.headers, {}, 'a header without its optional input is not sent')
  const other = withInputs(provider, given({ ...VALUES, group: 'g1' }))
  t.same(other.upstream.headers, { 'x-group': 'g1' }, 'filled anew from one that was filled')
  t.notMatch(inspect(provider, { depth: 4 }), /of-the-config/, 'no secret is printed with it')
  t.notMatch(JSON.stringify(provider), /of-the-config/)
})

t.test('a query, appended headers and routes are filled as well', async (t) => {
  const file: Partial<ProviderFile> = {
    inputs: { version: {}, id: {}, group: { required: false }, hidden: { secret: true } },
    upstream: {
      base_url: 'https://models.example.com/v1',
      query: { 'api-version': '{version}', group: '{group}' },
      append_headers: { 'x-beta': 'a,{version}' },
      routes: [
        { prefix: '/messages', base_url: '/deployments/{id}/v1', headers: { 'x-hidden': '{hidden}' } },
        { prefix: '/files', base_url: 'https://files.example.com/{id}' },
      ],
    },
  }
  const { upstream, lacking } = filled(file, { version: '2026 01&b', id: 'a/b', hidden: 's' })
  t.same(lacking, [])
  t.same(upstream.query, { 'api-version': '2026 01&b' }, 'as it is: whoever writes a query encodes it')
  t.same(upstream.appendHeaders, { 'x-beta': 'a,2026 01&b' })
  const [messages, files] = upstream.routes
  t.equal(messages?.baseUrl, '/deployments/a%2Fb/v1')
  t.same(messages?.headers, { 'x-hidden': 's' })
  t.equal(files?.baseUrl, 'https://files.example.com/a%2Fb')
  t.same(
    filled(file, { version: 'v', id: '..', hidden: 's' }).lacking.map(({ input }) => input),
    ['id'],
  )
  const query = { k: '{hidden}' }
  t.throws(() => providerOf({ ...file, upstream: { query } }), { message: /a secret never stands where/ })
})

t.test('a secret stands in no address that a browser is sent to', (t) => {
  const file = (more: object): Partial<ProviderFile> => ({
    ...{ credential: 'authorization_code', inputs: { k: { secret: true }, plain: {} }, upstream: {} },
    authorization_server: { issuer: 'https://login.example', client_id: 'c', ...more },
  })
  const fields = (value: string) => [
    { client_id: value },
    { scope: `a ${value}` },
    { params: { a: value } },
    { authorization_params: { a: value } },
  ]
  for (const more of fields('{plain}')) t.doesNotThrow(() => providerOf(file(more)))
  for (const more of fields('{k}'))
    t.throws(() => providerOf(file(more)), { message: /a secret never stands/ }, JSON.stringify(more))
  t.end()
})

t.test('nor in the query of a step, whoever it came from', (t) => {
  const file = (text: string, inputs?: ProviderFile['inputs']): Partial<ProviderFile> => ({
    ...{ credential: 'token_request', subject_token: 'given', ...(inputs && { inputs }), upstream: {} },
    token_request: [
      { name: 'idp', url: 'https://idp.example/', response: { token: '/t', keep: { id: '/i' } } },
      { url: 'https://vendor.example/', query: { a: text }, response: { token: '/t' } },
    ],
  })
  for (const inputs of [undefined, { plain: {} }]) {
    t.doesNotThrow(() => providerOf(file('text', inputs)))
    for (const text of ['{idp}', 'x{idp.token}', '{idp.id|upper}', '{subject_token}'])
      t.throws(() => providerOf(file(text, inputs)), { message: /which no input gives/ }, text)
  }
  t.end()
})

t.test('a file without inputs is what it always was, braces and all', async (t) => {
  const provider = providerOf({ upstream: { headers: { 'x-shape': '{"a":"{b}"}' } } })
  t.same(provider.upstream.headers, { 'x-shape': '{"a":"{b}"}' })
  t.equal(withInputs(provider, given({ a: 'b' })), provider)
})

t.test('a default of the environment counts where the config says nothing', async (t) => {
  const { secret: _, ...rest } = VALUES
  const env = { AZURE_SECRET: 'of-the-environment' }
  t.equal(filled(AZURE, rest, env).authorizationServer?.clientSecret?.reveal(), 'of-the-environment')
  t.equal(filled(AZURE, VALUES, env).authorizationServer?.clientSecret?.reveal(), 'of-the-config')
  t.same(
    filled(AZURE, rest, {}).lacking.map(({ input }) => input),
    ['secret'],
    'an unset one is no value, and stops nobody',
  )
  t.same(
    filled(AZURE, rest, { AZURE_SECRET: ' ' }).lacking.map(({ input }) => input),
    ['secret'],
  )
  t.same(
    filled(AZURE, rest, { AZURE_SECRET_FILE: '/nowhere' }).lacking.map(({ input }) => input),
    ['secret'],
  )
})

t.test('what a config says is never read as a name of the environment', async (t) => {
  const env = { TOKEN_ENCRYPTION_KEY: 'the-key-of-everything' }
  const provider = filled(AZURE, { ...VALUES, secret: 'env:TOKEN_ENCRYPTION_KEY' }, env)
  t.equal(provider.authorizationServer?.clientSecret?.reveal(), 'env:TOKEN_ENCRYPTION_KEY')
})

t.test('with a value that the file does not take nothing is filled in', async (t) => {
  for (const tenant of ['x', '../..', 'abcd\n', ' abcd', '', 'ABCD', 'a'.repeat(5_000)]) {
    const provider = filled(AZURE, { ...VALUES, tenant })
    t.same(
      provider.lacking.map(({ input }) => input),
      ['tenant'],
      JSON.stringify(tenant.slice(0, 20)),
    )
    t.equal(provider.authorizationServer?.tokenEndpoint, 'https://login.example.com/{tenant}/token')
    t.equal(provider.authorizationServer?.clientSecret, undefined)
  }
})

t.test('uploads are what they should be, and give their members', async (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const file: Partial<ProviderFile> = {
    credential: 'client_credentials',
    inputs: {
      account: {
        type: 'json',
        secret: true,
        members: { type: '^service_account$', project: '^[a-z0-9-]+$', key: '^-----' },
        file: { max_kib: 1 },
      },
      key: { type: 'pem', secret: true, required: false },
      pair: { secret: true, pattern: '^(?<id>\\w+)\\.(?<rest>\\w+)$', required: false },
    },
    authorization_server: {
      token_endpoint: 'https://login.example.com/token',
      client_id: '{account.project}',
      client_secret: '{account.key}{pair.rest}',
      key_id: '{key.fingerprint}',
    },
  }
  const account = { type: 'service_account', project: 'p-1', key: '-----BEGIN', more: {} }
  const of = (value: unknown, more: Record<string, string> = {}) =>
    filled(file, { account: typeof value === 'string' ? value : JSON.stringify(value), pair: 'a.b', ...more })
  t.equal(of(account).authorizationServer?.clientId, 'p-1')
  t.equal(of(account).authorizationServer?.clientSecret?.reveal(), '-----BEGINb')
  t.match(of(account, { key: pem }).authorizationServer?.keyId, /^SHA256:.{43}=$/)
  const wrong = [
    '{',
    '[]',
    'null',
    '"a"',
    {},
    { ...account, type: 'user' },
    { ...account, project: 5 },
    { ...account, project: '\ud800' },
    { ...account, more: 'x'.repeat(2_000) },
    '{"__proto__": {"type": "service_account"}}',
  ]
  for (const value of wrong)
    t.same(
      of(value).lacking.map(({ input }) => input),
      ['account'],
      JSON.stringify(value).slice(0, 60),
    )
  for (const key of ['no key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----'])
    t.same(
      of(account, { key }).lacking.map(({ input }) => input),
      ['key'],
    )
  t.same(
    of(account, { pair: 'ab' }).lacking.map(({ input }) => input),
    ['pair'],
  )
})
