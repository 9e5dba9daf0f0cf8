import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ConfigError, type Environment } from '../../src/base/environment.ts'
import { type Config, readConfig } from '../../src/settings/config.ts'

const SANDBOX = 'http://127.0.0.1:40123'

/** Loads `text` as CONFIG_FILE over what ships with the project. */
function load(t: Test, text: string, env: Environment = {}): Config {
  const file = join(t.testdir({ 'own.yaml': text }), 'own.yaml')
  return readConfig({ ...env, CONFIG_FILE: file }, { sandboxOrigin: SANDBOX })
}

function refusal(t: Test, text: string, env: Environment = {}): string {
  try {
    load(t, text, env)
  } catch (error) {
    t.ok(error instanceof ConfigError, 'a ConfigError')
    t.notMatch((error as Error).message, /\n/, 'one line')
    return (error as Error).message
  }
  t.fail(`accepted: ${text}`)
  return ''
}

function provider(lines: string): string {
  return `providers:\n  mine:\n${lines.replace(/^/gm, '    ')}`
}

const KEY = 'credential: api_key\n'
const DEVICE = 'credential: device_code\n'

const ISSUER = '  client_id: me\n  issuer: https://a.example\n'
const CODE_MISTAKES: readonly [why: string, fields: string, line: number, message: RegExp][] = [
  [
    'nowhere to send a browser',
    '  client_id: me\n  token_endpoint: https://a.example/token',
    6,
    /^authorization_server needs authorization_endpoint, or issuer for discovery$/,
  ],
  ['no client', '  issuer: https://a.example', 6, /^authorization_server needs client_id$/],
  [
    'an endpoint in the clear',
    `${ISSUER}  authorization_endpoint: http://a.example/authorize`,
    8,
    /^authorization_server\.authorization_endpoint must be https$/,
  ],
  ['no proof', `${ISSUER}  pkce: false`, 8, /^authorization_server\.pkce is never left out/],
  [
    'a state of its own',
    `${ISSUER}  authorization_params: { prompt: consent, state: x }`,
    8,
    /^authorization_server\.authorization_params\.state is the broker's own to set$/,
  ],
  [
    'no way back',
    `${ISSUER}  redirect: { callback: false, paste: false }`,
    8,
    /^authorization_server\.redirect needs callback or paste/,
  ],
  [
    'no registered address',
    `${ISSUER}  redirect: { callback: false }`,
    8,
    /^authorization_server\.redirect without callback needs loopback\.port/,
  ],
  [
    'a loopback that is none',
    `${ISSUER}  redirect: { loopback: { host: 192.0.2.1 } }`,
    8,
    /^authorization_server\.redirect\.loopback\.host must be one of 127\.0\.0\.1, ::1, localhost$/,
  ],
  [
    'no path',
    `${ISSUER}  redirect: { loopback: { path: a } }`,
    8,
    /^authorization_server\.redirect\.loopback\.path /,
  ],
]

t.test('a mistake in CONFIG_FILE is one line with file, line, field and what to write', async (t) => {
  const mistakes: [why: string, text: string, line: number | undefined, message: RegExp][] = [
    ['no YAML', 'providers: [', 1, /./],
    ['a list at the top', '- a', 1, /must be a mapping/],
    [
      'an unknown name at the top',
      'provider: {}',
      1,
      /^provider is not a known name; known here: .*providers/,
    ],
    ['a name no URL can hold', 'providers:\n  "My Own": {}', 2, /^providers\.My Own is not/],
    ['a name of the prototype', 'providers:\n  __proto__: {}', 2, /^providers\.__proto__ is not/],
    [
      'a page for people that is none',
      provider(`${KEY}help_url: 'javascript:alert(1)'\nupstream: {}`),
      4,
      /^help_url must be an https URL/,
    ],
    ...['variant', 'region'].map((word): [string, string, number, RegExp] => [
      `a ${word} of no vendor`,
      provider(`${KEY}${word}: EU\nupstream: {}`),
      4,
      new RegExp(`^${word} tells the files of one vendor apart`),
    ]),
    [
      'a sister that is not there',
      provider(`${KEY}upstream: {}\napi_key:\n  sisters: [openai, nobody]`),
      6,
      /^api_key\.sisters\.1 names no provider: nobody/,
    ],
    [
      'an unknown name',
      provider(`${KEY}upstream:\n  base: https://a.example/v1`),
      5,
      /^upstream\.base is not a known name; known here: base_url, /,
    ],
    ...['Authorization', 'cookie*', 'x-token-broker-*', 'Upgrade', 'x-goog-api-key'].map(
      (name): [string, string, number, RegExp] => [
        `a header that stays here: ${name}`,
        provider(`${KEY}upstream:\n  pass_headers: [x-fine, "${name}"]`),
        5,
        /^upstream\.pass_headers\.1 .* stays at the broker/,
      ],
    ),
    ...['*', 'a b', 'a*b', ''].map((name): [string, string, number, RegExp] => [
      `no header's name: ${name}`,
      provider(`${KEY}upstream:\n  pass_headers: ["${name}"]`),
      5,
      /^upstream\.pass_headers\.0 /,
    ]),
    [
      'an unknown kind',
      provider('credential: oauth\nupstream: {}'),
      3,
      /^credential must be one of device_code, authorization_code, client_credentials, token_exchange, jwt_bearer, token_request, session, api_key, aws_sigv4, signed_jwt$/,
    ],
    ['no kind', provider('upstream: {}'), 3, /needs credential$/],
    ['no upstream', provider(KEY), 3, /needs upstream$/],
    [
      'a text for a number',
      provider(`${KEY}upstream: {}\nrefresh:\n  wait_seconds: soon`),
      6,
      /^refresh\.wait_s/,
    ],
    [
      'a number out of bounds',
      provider(`${KEY}upstream: {}\nrefresh: { timeout_seconds: 26 }`),
      5,
      /^refresh\.timeout_seconds .*25/,
    ],
    [
      'a resource host with a scheme',
      provider(`${KEY}upstream:\n  resource_hosts:\n    - a.example\n    - https://b.example`),
      7,
      /^upstream\.resource_hosts\.1 /,
    ],
    [
      'a header name with a space',
      provider(`${KEY}upstream:\n  headers: { "a b": c }`),
      5,
      /^upstream\.headers\.a b is not a known name/,
    ],
    [
      'a header that says how long the body is',
      provider(`${KEY}upstream:\n  headers: { Content-Length: "0" }`),
      5,
      /^upstream\.headers\.Content-Length is set by the broker itself/,
    ],
    [
      'a header value of two lines',
      provider(`${KEY}upstream:\n  headers: { a: "b\\nc" }`),
      5,
      /^upstream\.headers\.a must match pattern/,
    ],
    ...(
      [
        ['auth: {}', /^upstream\.auth needs header or query$/],
        ['auth: { header: a, query: b }', /^upstream\.auth needs header or query$/],
        ['auth: { query: a, scheme: Bearer }', /^upstream\.auth has a scheme in headers only$/],
        ['auth: { header: Host }', /^upstream\.auth\.header is set by the broker itself$/],
        ['auth: { header: Sec-WebSocket-Protocol }', /^upstream\.auth\.header is set by the broker itself$/],
        ['auth: { header: "a b" }', /^upstream\.auth\.header must match pattern/],
        ['auth: { query: "a&b" }', /^upstream\.auth\.query must match pattern/],
        [
          '{ auth: { header: x-key }, headers: { X-Key: a } }',
          /^upstream\.headers holds x-key, which is for/,
        ],
        ['{ auth: { query: key }, query: { key: a } }', /^upstream\.query holds key, which is for the cred/],
        ['append_headers: { Authorization: a }', /^upstream\.append_headers\.Authorization is set by the/],
        ['{ append_headers: { a: b }, headers: { A: c } }', /^upstream\.append_headers\.a is said already$/],
        [
          '{ default_headers: { a: b }, headers: { A: c } }',
          /^upstream\.default_headers\.a is said already$/,
        ],
        [
          '{ default_headers: { a: b }, append_headers: { A: c } }',
          /^upstream\.default_headers\.a is said already$/,
        ],
        [
          '{ append_headers: { a: b }, auth: { header: A } }',
          /^upstream\.append_headers\.a is said already$/,
        ],
        ['routes: [{ prefix: messages }]', /^upstream\.routes\.0\.prefix must match pattern/],
        ['routes: [{ prefix: /a/ }]', /^upstream\.routes\.0\.prefix must match pattern/],
        ['routes: [{ prefix: /a }, { prefix: /a }]', /^upstream\.routes\.1\.prefix stands there twice$/],
        ...['//evil.example', '/../a', '/a/./b', '/a?b', '/a#b', '/a b', '/\\\\evil', '/%2e%2e'].map(
          (path) => [
            `routes: [{ prefix: /a, base_url: '${path}' }]`,
            /^upstream\.routes\.0\.base_url is not a plain/,
          ],
        ),
        [
          'routes: [{ prefix: /a, base_url: http://a.example }]',
          /^upstream\.routes\.0\.base_url must be https$/,
        ],
        [
          'routes: [{ prefix: /a, headers: { Host: b } }]',
          /^upstream\.routes\.0\.headers\.Host is set by the/,
        ],
      ] as [string, RegExp][]
    ).map(([block, message]): [string, string, number, RegExp] => {
      const braced = block.startsWith('{') ? block : `{ ${block} }`
      return [block, provider(`${KEY}upstream: ${braced}`), 4, message]
    }),
    [
      'a status alone, which says too little',
      provider(`${KEY}upstream: {}\nerrors:\n  expired:\n    - { status: 403 }`),
      7,
      /^errors\.expired\.0 needs header or body$/,
    ],
    [
      'a success that is an error',
      provider(`${KEY}upstream: {}\nerrors:\n  expired:\n    - { status: 200, body: a }`),
      7,
      /^errors\.expired\.0\.status must be >= 400$/,
    ],
    ...(
      [
        [3, 'upstream: {}', /^the file credential aws_sigv4 and the block aws_sigv4 go together$/],
        [
          4,
          'upstream: { auth: { header: a } }\naws_sigv4: { region: us-east-1, service: s }',
          /^upstream\.auth is for/,
        ],
        [
          5,
          'upstream: {}\naws_sigv4: { region: there, service: s }',
          /^aws_sigv4\.region is not the name of a region/,
        ],
        [5, 'upstream: {}\naws_sigv4: { region: us-east-1 }', /^aws_sigv4 needs service$/],
        [
          5,
          'upstream: {}\naws_sigv4: { region: us-east-1, service: s, credentials: [inputs] }',
          /^aws_sigv4\.credentials has inputs, which needs the inputs access_key_id and secret_access_key$/,
        ],
        [
          5,
          'upstream: {}\naws_sigv4: { region: us-east-1, service: s, credentials: [sso] }',
          /^aws_sigv4\.credentials\.0 must be one of inputs, env, /,
        ],
      ] as [number, string, RegExp][]
    ).map(([line, lines, message]): [string, string, number, RegExp] => [
      lines,
      provider(`credential: aws_sigv4\n${lines}`),
      line,
      message,
    ]),
    ...['ftp://proxy.lan', 'http://proxy.lan/path', 'http://'].map(
      (text): [string, string, number, RegExp] => [
        `no proxy: ${text}`,
        provider(`${KEY}upstream: {}\nproxy: "${text}"`),
        5,
        /^proxy must be none, or an address like/,
      ],
    ),
    [
      'a proxy nobody set',
      provider(`${KEY}upstream: {}\nproxy: env:NOBODY`),
      5,
      /^proxy reads NOBODY, which is not/,
    ],
    [
      'half of a certificate',
      provider(`${KEY}upstream: {}\ntls: { certificate_file: a }`),
      5,
      /^tls needs certificate_file and key_file together$/,
    ],
    ['no URL', provider(`${KEY}upstream:\n  base_url: a.example/v1`), 5, /^upstream\.base_url is not a URL/],
    ['ftp', provider(`${KEY}upstream:\n  base_url: ftp://a.example`), 5, /base_url must be https$/],
    [
      'plain http',
      provider(`${KEY}upstream:\n  base_url: http://a.example/v1`),
      5,
      /base_url must be https$/,
    ],
    [
      'http on loopback',
      provider(`${KEY}upstream:\n  base_url: http://127.0.0.1:1/v1`),
      5,
      /base_url must be https \(http on loopback needs allow_insecure_loopback: true\)$/,
    ],
    ['user info', provider(`${KEY}upstream:\n  base_url: https://me@a.example`), 5, /user name or password/],
    ['a query', provider(`${KEY}upstream:\n  base_url: https://a.example/?a=b`), 5, /query or fragment/],
    [
      'no authorization server',
      provider(`${DEVICE}upstream: {}`),
      3,
      /device_code needs authorization_server$/,
    ],
    [
      'no token endpoint',
      provider(`${DEVICE}upstream: {}\nauthorization_server:\n  client_id: me`),
      6,
      /^authorization_server needs token_endpoint, or issuer/,
    ],
    [
      'no device endpoint',
      provider(
        `${DEVICE}upstream: {}\nauthorization_server:\n  client_id: me\n  token_endpoint: https://a.example/t`,
      ),
      6,
      /^authorization_server needs device_authorization_endpoint, or issuer/,
    ],
    ...CODE_MISTAKES.map(([why, fields, line, message]): [string, string, number, RegExp] => [
      `a login by code: ${why}`,
      provider(`credential: authorization_code\nupstream: {}\nauthorization_server:\n${fields}`),
      line,
      message,
    ]),
    [
      'a redirect that no browser takes',
      provider(
        `${DEVICE}upstream: {}\nauthorization_server:\n  client_id: me\n  issuer: https://a.example\n  redirect: {}`,
      ),
      8,
      /^authorization_server\.redirect is of no use to credential device_code$/,
    ],
    ['no session', provider('credential: session\nupstream: {}'), 3, /needs session\.refresh_endpoint$/],
    [
      'a secret nobody set',
      provider(
        `${DEVICE}upstream: {}\nauthorization_server:\n  client_id: me\n  issuer: https://a.example\n  client_secret: env:NOBODY`,
      ),
      8,
      /^authorization_server\.client_secret reads NOBODY, which is not set$/,
    ],
    [
      'a mistake over a shipped file',
      'providers:\n  qwen:\n    refresh:\n      before_seconds: -1',
      4,
      /^refresh\.before_seconds /,
    ],
    [
      'more at once than a broker ever asks',
      'providers:\n  qwen:\n    refresh:\n      at_once: 33',
      4,
      /^refresh\.at_once .*32/,
    ],
    [
      'no whole number at once',
      'providers:\n  qwen:\n    refresh:\n      at_once: 1.5',
      4,
      /^refresh\.at_once .*integer/,
    ],
    ['none a second', 'providers:\n  qwen:\n    refresh:\n      per_second: 0', 4, /^refresh\.per_second /],
    ['a flag that is no boolean', 'allow_insecure_loopback: "yes"', 1, /^allow_insecure_loopback .*boolean/],
  ]
  for (const [why, text, line, message] of mistakes) {
    const [, at, rest = ''] = /own\.yaml:(\d+): (.*)$/.exec(refusal(t, text)) ?? []
    t.equal(Number(at), line, `${why}: line`)
    t.match(rest, message, why)
  }
})
