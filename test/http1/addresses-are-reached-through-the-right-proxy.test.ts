/** HTTPS_PROXY, HTTP_PROXY, NO_PROXY: which address goes which way, and what is no proxy at all. */
import t from 'tap'
import { ConfigError, type Environment } from '../../src/base/environment.ts'
import { readProxies } from '../../src/base/proxy-settings.ts'
import { chooseProxy } from '../../src/http1/egress-proxy.ts'

const way = (env: Environment, target: string) => chooseProxy(readProxies(env))(new URL(target))?.url.host

const BOTH = { HTTPS_PROXY: 'http://secure.corp:3128', HTTP_PROXY: 'http://plain.corp' }

t.test('the scheme of the target chooses the proxy', async (t) => {
  t.equal(way(BOTH, 'https://model.example/v1'), 'secure.corp:3128')
  t.equal(way(BOTH, 'wss://model.example/v1'), 'secure.corp:3128')
  t.equal(way(BOTH, 'http://model.example/v1'), 'plain.corp')
  t.equal(way(BOTH, 'ws://model.example/v1'), 'plain.corp')
  t.equal(way({ HTTPS_PROXY: BOTH.HTTPS_PROXY }, 'http://model.example'), undefined)
  t.equal(way({ HTTP_PROXY: BOTH.HTTP_PROXY }, 'https://model.example'), undefined)
  t.equal(way({}, 'https://model.example'), undefined)
})

t.test('lower case wins, and an empty one means none', async (t) => {
  const target = 'https://model.example'
  t.equal(way({ https_proxy: 'http://lower' }, target), 'lower')
  t.equal(way({ HTTPS_PROXY: 'http://upper', https_proxy: 'http://lower' }, target), 'lower')
  t.equal(way({ HTTPS_PROXY: 'http://upper', https_proxy: '' }, target), undefined)
  t.equal(way({ HTTPS_PROXY: '' }, target), undefined)
  t.equal(way({ ...BOTH, NO_PROXY: 'other', no_proxy: 'model.example' }, target), undefined)
  t.equal(way({ HTTPS_PROXY: 'proxy.corp:3128' }, target), 'proxy.corp:3128', 'a host and a port')
})

t.test('loopback never goes through a proxy', async (t) => {
  const hosts = [
    'localhost',
    'LOCALHOST',
    'localhost.',
    'a.localhost',
    '127.0.0.1',
    '127.9.8.7',
    '127.1',
    '[::1]',
  ]
  for (const host of [...hosts, '[::ffff:127.0.0.1]', '[::ffff:7f00:1]']) {
    t.equal(way(BOTH, `http://${host}:8000/v1`), undefined, host)
    t.equal(way(BOTH, `https://${host}/v1`), undefined, host)
  }
  for (const host of ['localhost.example', 'notlocalhost', '128.0.0.1', '[::2]', '127.0.0.1.example'])
    t.equal(way(BOTH, `https://${host}/v1`), 'secure.corp:3128', host)
})

const EXCEPTIONS: [noProxy: string, straight: string[], proxied: string[]][] = [
  ['*', ['https://model.example', 'http://10.0.0.1'], []],
  [
    'corp',
    ['https://corp', 'https://a.corp', 'https://a.b.CORP:8443', 'https://a.corp.'],
    ['https://acorp', 'https://corp.example', 'https://a.corp.example'],
  ],
  ['.corp', ['https://a.corp', 'https://a.b.corp'], ['https://acorp']],
  ['*.corp', ['https://a.corp', 'https://a.b.corp'], ['https://acorp']],
  ['.Corp, other.example', ['https://a.corp', 'https://other.example'], ['https://model.example']],
  ['a.example b.example\tc.example', ['https://b.example', 'https://c.example'], ['https://d.example']],
  [
    'vllm:8000,model.example:443',
    ['http://vllm:8000', 'https://model.example'],
    ['http://vllm', 'https://model.example:8443', 'http://model.example'],
  ],
  ['10.0.0.5', ['http://10.0.0.5', 'https://10.0.0.5:8000'], ['http://10.0.0.6', 'https://110.0.0.5']],
  ['10.0.0.5:8000', ['http://10.0.0.5:8000'], ['http://10.0.0.5']],
  ['10.0.0.0/8', ['http://10.200.0.5:8000'], ['http://11.0.0.1', 'http://10.example']],
  ['fd00::/8', ['http://[fd12::1]:8000'], ['http://[fe80::1]']],
  ['[fd12::1]', ['http://[fd12::1]:8000'], ['http://[fd12::2]']],
  ['[fd12::1]:8000', ['http://[fd12::1]:8000'], ['http://[fd12::1]']],
  ['fd12::1', ['http://[fd12::1]:8000', 'http://[fd12:0:0::1]'], ['http://[fd12::2]']],
  [' , ,', [], ['https://model.example']],
  ['10.0.0.0/99,10.0.0.0/x,:::,/,[', [], ['https://model.example', 'http://10.0.0.1']],
]
for (const [noProxy, straight, proxied] of EXCEPTIONS) {
  t.test(`NO_PROXY=${noProxy}`, async (t) => {
    for (const target of straight) t.equal(way({ ...BOTH, NO_PROXY: noProxy }, target), undefined, target)
    for (const target of proxied) t.not(way({ ...BOTH, NO_PROXY: noProxy }, target), undefined, target)
  })
}

t.test('what is no proxy stops the start, in one line without its value', async (t) => {
  const mistakes = [
    ...['http://', 'http://canary canary', 'socks5://canary:1080', 'ftp://canary', 'http://canary:99999'],
    ...[
      'http://canary/path',
      'http://canary?q',
      'http://canary#f',
      'http://u:%zz@canary',
      'http://u%3Au:p@canary',
    ],
    ...['://canary', ' ', '\n'],
  ]
  for (const value of mistakes) {
    for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy']) {
      t.throws(() => readProxies({ [name]: value }), ConfigError, `${name}=${value}`)
      try {
        readProxies({ [name]: value })
      } catch (error) {
        const { message } = error as Error
        t.ok(message.startsWith(`${name} `), message)
        t.notMatch(message, /canary|socks|zz|\n/)
      }
    }
  }
})

t.test('user and password are told apart and decoded', async (t) => {
  const authorization = (address: string) =>
    chooseProxy(readProxies({ HTTPS_PROXY: address }))(new URL('https://model.example'))?.authorization
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
  t.equal(authorization('http://proxy'), undefined)
  t.equal(authorization('http://me:secret@proxy'), basic('me:secret'))
  t.equal(authorization('http://me@proxy'), basic('me:'))
  t.equal(authorization('http://a%40corp:p%3A%2F%25%E5%AF%86@proxy'), basic('a@corp:p:/%密'))
  t.equal(authorization('me:secret@proxy:3128'), basic('me:secret'))
})
