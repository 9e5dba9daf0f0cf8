import fc from 'fast-check'
import t from 'tap'
import { BrokerError } from '../../src/base/errors.ts'
import { upstreamPath } from '../../src/upstream/resource-url.ts'

function isRefused(target: string): boolean {
  try {
    upstreamPath(target, '/v1')
    return false
  } catch (error) {
    return error instanceof BrokerError && error.code === 'invalid_path'
  }
}

t.test('/v1 is replaced by the path of the base URL, the rest stays byte for byte', async (t) => {
  const targets: [target: string, basePath: string, path: string][] = [
    ['/v1/chat/completions', '/v1', '/v1/chat/completions'],
    ['/v1/chat/completions', '/compatible-mode/v1', '/compatible-mode/v1/chat/completions'],
    ['/v1/chat/completions', '', '/chat/completions'],
    ['/v1', '/v1', '/v1'],
    ['/v1/', '/v1', '/v1/'],
    ["/v1/files/file-a.b_c~d!$&'()*+,;=:@%20", '/v1', "/v1/files/file-a.b_c~d!$&'()*+,;=:@%20"],
    ['/v1/models/org%3Amodel', '/v1', '/v1/models/org%3Amodel'],
    ['/v1/models/org%2Fmodel', '/v1', '/v1/models/org%2Fmodel'],
    ['/v1/files?after=a%2Fb&limit=2&x=..&y=//z', '/v1', '/v1/files?after=a%2Fb&limit=2&x=..&y=//z'],
    ['/v1?a', '/v1', '/v1?a'],
    ['/v1/a?', '/v1', '/v1/a?'],
    ['/v1/...', '/v1', '/v1/...'],
    ['/v1/v1/models', '/v1', '/v1/v1/models'],
  ]
  for (const [target, basePath, path] of targets) t.equal(upstreamPath(target, basePath), path, target)
})

t.test('what could lead elsewhere is refused', async (t) => {
  const refused = [
    '',
    '/',
    '*',
    '//evil.com/v1/models',
    '//v1/models',
    '/v1//models',
    '/v1//evil.com',
    '/v1/models//',
    'http://evil.com/v1/models',
    'https://portal.qwen.ai/v1/models',
    'v1/models',
    '/v10/models',
    '/V1/models',
    '/api/models/configs',
    // dot segments, open and in disguise
    '/v1/..',
    '/v1/../admin',
    '/v1/./models',
    '/v1/.',
    '/v1/a/../../admin',
    '/v1/..?x',
    '/v1/%2e%2e/admin',
    '/v1/%2E%2e/admin',
    '/v1/.%2e/admin',
    '/v1/%2e',
    '/v1/%252e%252e/admin',
    // dot segments between slashes in disguise, and backslashes
    '/v1/..%2fadmin',
    '/v1/a%2F..%2fb',
    '/v1/a%2f%2e',
    '/v1/..\\admin',
    '/v1\\..\\admin',
    '/v1/%5c..%5cadmin',
    '/v1/%5C',
    '\\\\evil.com\\v1',
    // bytes that end a line or a string somewhere
    '/v1/a b',
    '/v1/a\r\nx: y',
    '/v1/a\tb',
    '/v1/%00',
    '/v1/a%0d%0ab',
    '/v1/a%1Fb',
    '/v1/a%7f',
    '/v1/a\u0000',
    '/v1/模型',
    '/v1/a#b',
    '/v1/a?b#c',
    '/v1/a?b c',
    '/v1/a?b\r\nx: y',
    '/v1/a"b',
    '/v1/a<b>',
    '/v1/{a}',
    '/v1/a|b',
    '/v1/a^b',
    '/v1/a`b',
  ]
  for (const target of refused) t.ok(isRefused(target), JSON.stringify(target))
})

t.test('no accepted path leaves the base, whoever resolves it', async (t) => {
  const piece = fc.constantFrom(
    ...[
      '/',
      '//',
      '.',
      '..',
      '%2e',
      '%2E',
      '%2f',
      '%5c',
      '%25',
      '%00',
      '\\',
      '?',
      '#',
      '@',
      ':',
      ';',
      ' ',
      '\t',
    ],
    ...['v1', 'a', 'evil.com', 'http:', '&', '=', '%41', '%', '。', '\r\n'],
  )
  let accepted = 0
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
      const target = `/v1${pieces.join('')}`
      if (isRefused(target)) return true
      accepted += 1
      const path = upstreamPath(target, '/base/v1')
      const { origin, pathname } = new URL(path, 'https://portal.qwen.ai')
      const decoded = decodeURIComponent(pathname.replaceAll(/%(?![0-9a-f]{2})/gi, '%25'))
      return (
        origin === 'https://portal.qwen.ai' &&
        (pathname === '/base/v1' || pathname.startsWith('/base/v1/')) &&
        !decoded.split(/[/\\]/).includes('..')
      )
    }),
    { numRuns: 5_000 },
  )
  t.ok(accepted > 100, `${accepted} were accepted`)
})
