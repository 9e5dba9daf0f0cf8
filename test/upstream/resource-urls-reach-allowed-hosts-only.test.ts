import fc from 'fast-check'
import t from 'tap'
import { BrokerError } from '../../src/base/errors.ts'
import { toProvider } from '../../src/provider/provider.ts'
import type { ProviderFile } from '../../src/provider/provider-file.ts'
import { upstreamTarget } from '../../src/upstream/resource-url.ts'

const surroundings = { file: 'qwen.yaml', env: {}, sandboxOrigin: undefined }
function provider(upstream: ProviderFile['upstream'], allowInsecureLoopback = false) {
  return toProvider('qwen', { credential: 'api_key', upstream }, { ...surroundings, allowInsecureLoopback })
}

const QWEN = provider({
  base_url: 'https://portal.qwen.ai/v1',
  resource_hosts: ['portal.qwen.ai', 'intl.qwen.ai:8443'],
})

function urlOf(resourceUrl: string | undefined, of = QWEN, baseUrl = ''): string {
  const { origin, basePath } = upstreamTarget(of, resourceUrl, baseUrl)
  return origin + basePath
}

function isRefused(resourceUrl: string, of = QWEN): boolean {
  try {
    upstreamTarget(of, resourceUrl, '')
    return false
  } catch (error) {
    return error instanceof BrokerError && error.code === 'upstream_not_allowed'
  }
}

t.test('however a server writes it, a resource_url becomes https and ends in one /v1', async (t) => {
  const written: [string, string][] = [
    ['portal.qwen.ai', 'https://portal.qwen.ai/v1'],
    [' portal.qwen.ai\n', 'https://portal.qwen.ai/v1'],
    ['portal.qwen.ai/', 'https://portal.qwen.ai/v1'],
    ['portal.qwen.ai/v1', 'https://portal.qwen.ai/v1'],
    ['portal.qwen.ai/v1/', 'https://portal.qwen.ai/v1'],
    ['portal.qwen.ai//v1//', 'https://portal.qwen.ai//v1'],
    ['https://portal.qwen.ai', 'https://portal.qwen.ai/v1'],
    ['https://portal.qwen.ai/v1', 'https://portal.qwen.ai/v1'],
    ['HTTPS://Portal.QWEN.ai/v1/', 'https://portal.qwen.ai/v1'],
    ['https://portal.qwen.ai:443/v1', 'https://portal.qwen.ai/v1'],
    ['https://portal.qwen.ai/compatible-mode', 'https://portal.qwen.ai/compatible-mode/v1'],
    ['https://portal.qwen.ai/compatible-mode/v1', 'https://portal.qwen.ai/compatible-mode/v1'],
    ['https://portal.qwen.ai/notv1', 'https://portal.qwen.ai/notv1/v1'],
    ['https://intl.qwen.ai:8443', 'https://intl.qwen.ai:8443/v1'],
  ]
  for (const [resourceUrl, url] of written) t.equal(urlOf(resourceUrl), url, resourceUrl)
})

t.test("without one the base URL counts: the config's own, else the provider's", async (t) => {
  for (const none of [undefined, '', '  ']) t.equal(urlOf(none), 'https://portal.qwen.ai/v1')
  const own = 'https://dashscope.aliyuncs.com/compatible-mode/v1'
  t.equal(urlOf(undefined, QWEN, `${own}/`), own, 'nothing is appended to it')
  t.equal(urlOf('portal.qwen.ai', QWEN, own), 'https://portal.qwen.ai/v1', 'the token knows best')
  t.throws(() => upstreamTarget(provider({}), undefined, ''), BrokerError)
  for (const bad of ['http://a.example/v1', 'https://me@a.example', 'not a url', 'https://a.example/?x=1']) {
    t.throws(() => upstreamTarget(QWEN, undefined, bad), { code: 'upstream_not_allowed' }, bad)
  }
})

t.test('every other host is refused', async (t) => {
  const refused = [
    'evil.com',
    'evil.com/portal.qwen.ai',
    'https://evil.com/portal.qwen.ai/v1',
    'portal.qwen.ai.evil.com',
    'evil-portal.qwen.ai',
    'a.portal.qwen.ai',
    'qwen.ai',
    'portal.qwen.ai.',
    'https://portal.qwen.ai./v1',
    // user info
    'portal.qwen.ai@evil.com',
    'https://portal.qwen.ai@evil.com/v1',
    'https://me:pass@portal.qwen.ai',
    'https://evil.com@portal.qwen.ai',
    'https://portal.qwen.ai%40evil.com',
    // ports
    'portal.qwen.ai:8443',
    'portal.qwen.ai:80',
    'intl.qwen.ai',
    'https://intl.qwen.ai:443',
    // schemes
    'http://portal.qwen.ai',
    'ftp://portal.qwen.ai',
    'file:///portal.qwen.ai',
    'javascript://portal.qwen.ai',
    '//portal.qwen.ai',
    '//evil.com',
    '/portal.qwen.ai',
    // backslashes, tabs and line breaks, which URL parsers take out or turn round
    'evil.com\\portal.qwen.ai',
    'https:\\\\evil.com\\portal.qwen.ai',
    'https://evil.com\\@portal.qwen.ai',
    'https://evil.com#@portal.qwen.ai',
    'https://portal.qwen.ai\\@evil.com',
    'evil.com?portal.qwen.ai',
    'evil.com#portal.qwen.ai',
    'https://portal.qwen.ai?x=1',
    'https://portal.qwen.ai#x',
    // letters that look alike, and what browsers make of some of them
    'pоrtal.qwen.ai',
    'portal.qwеn.ai',
    'portal。qwen。ai',
    'ｐortal.qwen.ai',
    'portal.qwen.ai\u00ad',
    'portal\t.qwen.ai',
    'portal。qwen。ai.evil.com',
    'xn--prtal-7ve.qwen.ai',
    'portal.qwen.ai%2eevil.com',
    'portal.qwen.ai%00.evil.com',
    'portal.qwen.ai\u0000.evil.com',
    'https://[::1]',
    '127.0.0.1',
    'localhost',
    '169.254.169.254',
    'https://0x7f.1',
    '*',
    '.',
    'https://',
    'portal qwen.ai',
  ]
  for (const resourceUrl of refused) t.ok(isRefused(resourceUrl), JSON.stringify(resourceUrl))
})

t.test('whatever is made of the pieces, only allowed origins come out', async (t) => {
  const piece = fc.constantFrom(
    ...[
      'https:',
      'http:',
      '//',
      '/',
      '\\',
      '@',
      ':',
      '443',
      '80',
      '.',
      '?',
      '#',
      '%2f',
      '%40',
      '\t',
      ' ',
      '[',
      ']',
    ],
    ...['portal.qwen.ai', 'evil.com', 'v1', 'user', '。', '／', '＠', '\u00ad', '\u200b', '..', ';', '&'],
  )
  const allowed = new Set(['https://portal.qwen.ai', 'https://intl.qwen.ai:8443'])
  let accepted = 0
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 8 }), (pieces) => {
      const text = pieces.join('')
      if (text.trim() === '' || isRefused(text)) return true
      accepted += 1
      const { origin, basePath } = upstreamTarget(QWEN, text, '')
      return allowed.has(origin) && basePath.endsWith('/v1') && new URL(origin + basePath).origin === origin
    }),
    { numRuns: 5_000 },
  )
  t.ok(accepted > 0, `${accepted} were accepted`)
})

t.test('http is for loopback hosts of the list, where the file allows it', async (t) => {
  const local = provider({ resource_hosts: ['127.0.0.1:4000', 'portal.qwen.ai'] }, true)
  t.equal(urlOf('http://127.0.0.1:4000', local), 'http://127.0.0.1:4000/v1')
  t.equal(urlOf('https://127.0.0.1:4000/v1', local), 'https://127.0.0.1:4000/v1')
  for (const bad of [
    'http://127.0.0.1:4001',
    'http://localhost:4000',
    'http://portal.qwen.ai',
    'http://127.1:4000.evil.com',
  ]) {
    t.ok(isRefused(bad, local), bad)
  }
  const strict = provider({ resource_hosts: ['127.0.0.1:4000'] })
  t.ok(isRefused('http://127.0.0.1:4000', strict), 'not without the flag')
})

t.test('plain http reaches the very hosts that the provider file names, and no others', async (t) => {
  const named = ['vllm:8000', '10.0.0.5:11434', '[fd00::1]:80', 'plain.lan:80', 'my_model:8000']
  const lan = provider({
    base_url: 'http://vllm:8000/v1',
    allow_http_hosts: named,
    resource_hosts: ['vllm:8000', 'other:8000'],
  })
  t.equal(urlOf(undefined, lan), 'http://vllm:8000/v1')
  t.equal(urlOf('http://vllm:8000', lan), 'http://vllm:8000/v1')
  for (const host of [
    '10.0.0.5:11434',
    '[fd00::1]',
    'plain.lan',
    'plain.lan:80',
    'VLLM:8000',
    'my_model:8000',
  ])
    t.equal(
      urlOf(undefined, lan, `http://${host}/v1`),
      `http://${host.toLowerCase().replace(/:80$/, '')}/v1`,
      host,
    )
  const others = ['vllm', 'vllm:8001', 'a.vllm:8000', 'vllm.evil.example:8000', '10.0.0.5', '10.0.0.6:11434']
  for (const host of [
    ...others,
    'plain.lan:8080',
    '[fd00::2]',
    'me@vllm:8000',
    'vllm:8000@evil.example',
    '127.0.0.1',
  ])
    t.throws(
      () => upstreamTarget(lan, undefined, `http://${host}/v1`),
      { code: 'upstream_not_allowed' },
      host,
    )
  t.ok(isRefused('http://other:8000', lan), 'a resource host is not for plain http')
  t.ok(isRefused('http://10.0.0.5:11434', lan), 'and a host for plain http is no resource host')
  t.ok(isRefused('http://portal.qwen.ai'), 'where the file names none')
  t.throws(() => provider({ base_url: 'http://vllm:8001', allow_http_hosts: named }), /must be https/)
})
