import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ConfigError, type Environment } from '../../src/base/environment.ts'
import { readConfig } from '../../src/settings/config.ts'
import { generateFernetKey } from '../../src/vault/fernet.ts'

const SANDBOX = 'http://127.0.0.1:40123'

function load(t: Test, text: string, env: Environment = {}, sandboxOrigin: string | undefined = SANDBOX) {
  const file = join(t.testdir({ 'own.yaml': text }), 'own.yaml')
  return readConfig({ ...env, CONFIG_FILE: file }, { sandboxOrigin })
}

function get(t: Test, text: string, name: string, env: Environment = {}) {
  const provider = load(t, text, env).providers.get(name)
  if (!provider) throw new Error(`no provider ${name}`)
  return provider
}

t.test('what ships is valid, and qwen is what the interface says', async (t) => {
  const { providers } = readConfig({}, { sandboxOrigin: SANDBOX })
  const qwen = providers.get('qwen')
  t.match(qwen, {
    label: 'Qwen OAuth',
    kind: 'device_code',
    authorizationServer: {
      deviceAuthorizationEndpoint: 'https://chat.qwen.ai/api/v1/oauth2/device/code',
      tokenEndpoint: 'https://chat.qwen.ai/api/v1/oauth2/token',
      revocationEndpoint: undefined,
      clientId: 'f0304373b74a44d2b584a3fb70ca9e56',
      clientSecret: undefined,
      scope: 'openid profile email model.completion',
      pkce: true,
    },
    upstream: {
      baseUrl: 'https://portal.qwen.ai/v1',
      headers: { 'x-dashscope-authtype': 'qwen-oauth', 'x-dashscope-cachecontrol': 'enable' },
      models: ['coder-model'],
    },
    refresh: { beforeMs: 300_000, waitMs: 2_000, timeoutMs: 10_000, atOnce: 32, perSecond: undefined },
    allowsInsecureLoopback: false,
  })
  t.same([...(qwen?.upstream.resourceHosts ?? [])], ['portal.qwen.ai'])
  t.same([...(qwen?.errors.invalidGrant ?? [])], ['invalid_grant', 'invalid_request'])
  t.ok(qwen?.errors.quota.has('insufficient_quota'))
  t.equal(qwen?.helpUrl, 'https://chat.qwen.ai')
})

t.test('the sandbox lives at its own address, and is left out where there is none', async (t) => {
  const sandbox = readConfig({}, { sandboxOrigin: SANDBOX }).providers.get('sandbox')
  t.equal(sandbox?.upstream.baseUrl, `${SANDBOX}/v1`)
  t.equal(sandbox?.authorizationServer?.tokenEndpoint, `${SANDBOX}/oauth/token`)
  t.equal(sandbox?.allowsInsecureLoopback, true)
  t.equal(readConfig({}).providers.has('sandbox'), false)
})

t.test('CONFIG_FILE changes what it names and leaves the rest', async (t) => {
  const text = `
providers:
  qwen:
    upstream: { models: [other-model], headers: { X-Extra: "1" } }
    refresh: { before_seconds: 60, at_once: 4, per_second: 0.5 }
    authorization_server: { scope: null }
`
  const qwen = get(t, text, 'qwen')
  t.same(qwen.upstream.models, ['other-model'], 'lists are replaced')
  t.match(
    qwen.upstream.headers,
    { 'x-extra': '1', 'x-dashscope-authtype': 'qwen-oauth' },
    'mappings are merged',
  )
  t.match(qwen.refresh, { beforeMs: 60_000, waitMs: 2_000, atOnce: 4, perSecond: 0.5 })
  t.equal(qwen.upstream.baseUrl, 'https://portal.qwen.ai/v1')
  t.equal(load(t, text).providers.has('sandbox'), true)
})

t.test("a provider of one's own is a name more, with defaults for what it leaves out", async (t) => {
  const mine = get(t, 'providers:\n  mine:\n    credential: api_key\n    upstream: {}', 'mine')
  t.match(mine, {
    name: 'mine',
    label: 'mine',
    kind: 'api_key',
    authorizationServer: undefined,
    upstream: { baseUrl: undefined, headers: {}, models: [] },
    refresh: { beforeMs: 300_000, waitMs: 2_000, timeoutMs: 10_000, atOnce: 32, perSecond: undefined },
  })
  t.equal(mine.upstream.resourceHosts.size, 0)
  t.same([...mine.errors.invalidGrant], ['invalid_grant'])
})

t.test('a base URL is kept without its final slashes', async (t) => {
  const text = (url: string) =>
    `providers:\n  mine: { credential: api_key, upstream: { base_url: "${url}" } }`
  t.equal(get(t, text('https://a.example/v1//'), 'mine').upstream.baseUrl, 'https://a.example/v1')
})

t.test('a client secret is text, or read from the environment', async (t) => {
  const text = (secret: string) => `
providers:
  mine:
    credential: client_credentials
    authorization_server: { issuer: "https://a.example", client_id: me, client_secret: "${secret}" }
    upstream: { base_url: "https://a.example/v1" }
`
  const secretOf = (secret: string, env: Environment = {}) =>
    get(t, text(secret), 'mine', env).authorizationServer?.clientSecret?.reveal()
  t.equal(secretOf('plain'), 'plain')
  t.equal(secretOf('env:MY_SECRET', { MY_SECRET: 'from outside' }), 'from outside')
  await t.test('or from the file that NAME_FILE names', async (inner) => {
    const file = join(inner.testdir({ secret: '\ufefffrom a file\n\n' }), 'secret')
    t.equal(secretOf('env:MY_SECRET', { MY_SECRET_FILE: file }), 'from a file')
    t.throws(
      () => secretOf('env:MY_SECRET', { MY_SECRET_FILE: `${file}.missing` }),
      /own\.yaml:5: authorization_server\.client_secret cannot be had: MY_SECRET_FILE cannot be read \(ENOENT\)$/,
    )
    t.throws(
      () => secretOf('env:MY_SECRET', { MY_SECRET: 'canary-value', MY_SECRET_FILE: file }),
      /cannot be had: MY_SECRET and MY_SECRET_FILE are both set: keep one$/,
    )
  })
})

t.test('http is for loopback, where the file says so, and never in production', async (t) => {
  const allow = 'allow_insecure_loopback: true\n'
  const text = (url: string) =>
    `${allow}providers:\n  mine: { credential: api_key, upstream: { base_url: "${url}" } }`
  for (const host of ['127.0.0.1:8080', '127.9.9.9', 'localhost', '[::1]:8080']) {
    t.equal(get(t, text(`http://${host}/v1`), 'mine').upstream.baseUrl, `http://${host}/v1`)
  }
  const others = [
    '10.0.0.1',
    'a.example',
    '127.0.0.1.a.example',
    'localhost.a.example',
    '0.0.0.0',
    '[::ffff:10.0.0.1]',
    'notlocalhost',
  ]
  for (const host of others) t.throws(() => load(t, text(`http://${host}/v1`)), /must be https/, host)

  const production = { NODE_ENV: 'production', TOKEN_ENCRYPTION_KEY: generateFernetKey() }
  t.throws(() => load(t, allow, production), ConfigError)
  t.throws(() => load(t, allow, production), /allow_insecure_loopback is refused when NODE_ENV is production/)
  t.equal(load(t, 'allow_insecure_loopback: false', production).isProduction, true)
})

t.test('a file that is not there, or empty', async (t) => {
  t.throws(() => readConfig({ CONFIG_FILE: '/nowhere/own.yaml' }), /own\.yaml cannot be read \(ENOENT\)/)
  t.equal(load(t, '').providers.has('qwen'), true)
})

t.test('nobody can change a config once it is read', async (t) => {
  t.ok(Object.isFrozen(readConfig({})))
})

t.test('hosts for plain http are warned of at start, and are hosts with a port', async (t) => {
  const text = (hosts: string) =>
    `providers:\n  mine: { credential: api_key, upstream: { allow_http_hosts: ${hosts} } }`
  const { warnings } = load(t, text('["vllm:8000", "10.0.0.5:80"]'), {
    TOKEN_ENCRYPTION_KEY: generateFernetKey(),
  })
  t.match(warnings, [
    {
      setting: /own\.yaml: upstream\.allow_http_hosts$/,
      message: /^calls to vllm:8000, 10\.0\.0\.5:80 go in plain http/,
    },
  ])
  for (const bad of [
    'vllm',
    '*:80',
    'http://vllm:80',
    'vllm:99999',
    'vllm:80/v1',
    '10.0.0.0/8',
    '[::1',
    'a,b:80',
    'VLLM:80',
  ])
    t.throws(() => load(t, text(`["${bad}"]`)), /own\.yaml:2: upstream\.allow_http_hosts\.0 /, bad)
})
