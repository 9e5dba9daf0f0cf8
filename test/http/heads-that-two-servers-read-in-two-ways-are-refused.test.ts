/** What Node's parser refuses by itself is here, too: clients must not come to depend on its mood. */
import t from 'tap'
import { ask, open, rawExchange } from '../gateway/fixtures/client.ts'
import { json, readAll, type Setup, setUp } from '../gateway/fixtures/upstream.ts'

const BODY = '{"model":"model-a"}'
const CHUNKED = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`
const LENGTH = `Content-Length: ${BODY.length}`
const CODING = 'Transfer-Encoding: chunked'

interface Parts {
  readonly version?: string
  readonly host?: string[]
  readonly more?: string[]
  readonly framing?: string[]
  readonly body?: string
}

function head(
  key: string,
  target: string,
  { version = '1.1', host = ['Host: a'], more = [], framing = [LENGTH], body = BODY }: Parts,
) {
  const own = [`Authorization: Bearer ${key}`, 'Content-Type: application/json']
  return [`POST ${target} HTTP/${version}`, ...host, ...more, ...own, ...framing, '', body].join('\r\n')
}

async function scene(t: Parameters<typeof setUp>[0]): Promise<Setup> {
  const setup = await setUp(t)
  setup.upstream.answer(async (request, response) =>
    json(response, { bytes: (await readAll(request)).length }),
  )
  return setup
}

async function statuses(setup: Setup, parts: Parts, target = '/v1/chat/completions'): Promise<string> {
  // What follows must not be answered as a request of its own.
  const bytes = `${head(setup.key, target, parts)}GET /v1/smuggled HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${setup.key}\r\n\r\n`
  const text = await rawExchange(setup.broker.origin, Buffer.from(bytes, 'latin1'))
  return [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status).join(' ')
}

const MALFORMED: Record<string, Parts[]> = {
  Host: [
    ...[
      '',
      ' ',
      'a b',
      'a/b',
      'u@a',
      'a:b',
      'a:1:2',
      ':80',
      'a:123456',
      'a, b',
      'a\\b',
      'a?b',
      'a#b',
      '[::1',
      '[x]',
      'http://a',
      '\u00e9',
      'a<b>',
    ].map((host) => ({ host: [`Host: ${host}`] })),
    { host: [] },
    { host: ['Host: a', 'Host: b'] },
    { host: ['Host: a', 'Host: a'] },
    { host: ['Host: a'], framing: [LENGTH, 'HOST: b'] },
    { host: ['Host : a'] },
    { host: ['Host: a\r\n b'] },
  ],
  Authorization: [
    { more: ['Authorization: Bearer x'] },
    { framing: [LENGTH, 'authorization: Bearer x'] },
    { framing: [LENGTH, 'Authorization: Basic eDp5'] },
  ],
  'Content-Length': [
    ...[
      '019',
      '0019',
      '+19',
      '-19',
      '19, 19',
      '19,19',
      '19, 20',
      '0x13',
      '1_9',
      '1 9',
      '19;x',
      '19.0',
      '1e1',
      '',
      '"19"',
      '18446744073709551635',
    ].map((length) => ({ framing: [`Content-Length: ${length}`] })),
    { framing: [LENGTH, LENGTH] },
    { framing: [LENGTH, 'Content-Length: 0'] },
    { framing: ['Content-Length : 19'] },
    { framing: ['Content-Length: 00'], body: '' },
  ],
  'Transfer-Encoding': [
    ...[
      'gzip',
      'identity',
      'xchunked',
      'chunkedx',
      'gzip, chunked',
      'identity, chunked',
      'chunked, chunked',
      'chunked, identity',
      ', chunked',
      'chunked,',
      'chunked;q=1',
      '"chunked"',
      '\u000bchunked',
      'chunked\u00a0',
      '',
    ].map((coding) => ({ framing: [`Transfer-Encoding: ${coding}`], body: CHUNKED })),
    { framing: [CODING, CODING], body: CHUNKED },
    { framing: ['Transfer-Encoding: gzip', CODING], body: CHUNKED },
    { framing: [CODING, LENGTH], body: CHUNKED },
    { framing: [LENGTH, CODING], body: CHUNKED },
    { framing: ['Transfer-Encoding : chunked'], body: CHUNKED },
    { framing: ['Transfer-Encoding:\r\n chunked'], body: CHUNKED },
    { version: '1.0', framing: [CODING], body: CHUNKED },
  ],
  version: ['0.9', '1.2', '2.0', '3.0', '9.9', '01.1', '1', '1.10'].map((version) => ({ version })),
}

for (const [what, cases] of Object.entries(MALFORMED)) {
  t.test(`a malformed ${what} is 400, and the connection ends`, async (t) => {
    const setup = await scene(t)
    for (const parts of cases) {
      t.equal(await statuses(setup, parts), '400', JSON.stringify(parts))
      t.equal(
        await statuses(setup, parts, '/api/models/configs'),
        '400',
        `${JSON.stringify(parts)} elsewhere`,
      )
    }
    t.equal(setup.upstream.calls.length, 0)
    const good = await ask(`${setup.v1}/chat/completions`, { key: setup.key, body: { model: 'model-a' } })
    t.equal(good.status, 200)
  })
}

t.test('what is well formed passes, though it looks odd', async (t) => {
  const setup = await scene(t)
  const hosts = [
    'a',
    'A.b-c_d.example.',
    'a:80',
    'a:',
    '127.0.0.1:65535',
    '[::1]',
    '[::1]:80',
    '[::ffff:1.2.3.4]',
    'xn--mgbh0fb.example',
  ]
  const wellFormed: Parts[] = [
    ...hosts.map((host) => ({ host: [`Host: ${host}`] })),
    ...['chunked', 'CHUNKED', 'chunked  '].map((coding) => ({
      framing: [`Transfer-Encoding: ${coding}`],
      body: CHUNKED,
    })),
    { framing: [`Content-Length:  ${BODY.length} `] },
    { version: '1.0' },
    { version: '1.0', host: [] },
  ]
  for (const parts of wellFormed) {
    const bytes = head(setup.key, '/v1/chat/completions', { ...parts, more: ['Connection: close'] })
    t.match(await rawExchange(setup.broker.origin, bytes), /^HTTP\/1\.1 200 /, JSON.stringify(parts))
  }
  t.equal(setup.upstream.calls.length, wellFormed.length)
})

/** RFC 9112 §3.2.2: a server takes the absolute form, and one host is named, not two. */
const ABSOLUTE: readonly (readonly [target: string, parts: Parts, status: string])[] = [
  ['http://a/v1/chat/completions', {}, '200'],
  ['HTTPS://A/v1/chat/completions?x=http://b/', { host: ['Host: a'] }, '200'],
  ['http://a:80/v1/chat/completions', { host: ['Host: a:80'] }, '200'],
  ['http://[::1]:80/v1/chat/completions', { host: ['Host: [::1]:80'] }, '200'],
  ['http://b/v1/chat/completions', { version: '1.0', host: [] }, '200'],
  ['http://b/v1/chat/completions', {}, '400'],
  ['http://a:80/v1/chat/completions', {}, '400'],
  ['http://u:p@a/v1/chat/completions', {}, '400'],
  ['http://u:p@a/v1/chat/completions', { version: '1.0', host: [] }, '400'],
  ['http:///v1/chat/completions', {}, '400'],
  ['http:a/v1/chat/completions', {}, '400'],
  ['ftp://a/v1/chat/completions', {}, '404'],
  ['http://a/v1/../api/models/configs', {}, '400'],
  ['http://a//v1/chat/completions', {}, '404'],
  ['http://ahttp://a/v1/chat/completions', {}, '400'],
]

t.test('a target with its host is taken where Host says the same', async (t) => {
  const setup = await scene(t)
  for (const [target, parts, status] of ABSOLUTE) {
    const bytes = head(setup.key, target, { ...parts, more: ['Connection: close'] })
    const text = await rawExchange(setup.broker.origin, bytes)
    t.match(text, new RegExp(`^HTTP/1\\.1 ${status} `), `${target} ${JSON.stringify(parts)}`)
  }
  for (const { url } of setup.upstream.calls)
    t.match(url, /^\/base\/v1\/chat\/completions(\?x=http:\/\/b\/)?$/)
  t.equal(setup.upstream.calls.length, 5)
})

t.test('the refusal says what is wrong, in the shape of its place', async (t) => {
  const { broker, key } = await scene(t)
  const openAi = await rawExchange(
    broker.origin,
    head(key, '/v1/chat/completions', { host: ['Host: a', 'Host: b'] }),
  )
  t.match(openAi, /"code":"malformed_request"/)
  t.match(openAi, /two Host headers/)
  t.match(openAi, /^connection: close\r$/im)
  t.match(openAi, /^x-request-id: /im)
})

t.test('204 and 304 go out without a length and without framing, whatever upstream wrote', async (t) => {
  const { broker, upstream, key, v1 } = await scene(t)
  for (const status of [204, 304]) {
    for (const framing of [
      '',
      'Content-Length: 0\r\n',
      'Content-Length: 5\r\n',
      'Transfer-Encoding: chunked\r\n',
    ]) {
      upstream.answer((request, response) => {
        request.resume()
        response.socket?.end(`HTTP/1.1 ${status} X\r\nETag: "x"\r\n${framing}\r\n`)
      })
      const twice = head(key, '/v1/chat/completions', {}).repeat(2)
      const text = await rawExchange(broker.origin, twice)
      t.equal(text.match(new RegExp(`^HTTP/1\\.1 ${status} `, 'gm'))?.length, 2, `${status} ${framing}`)
      t.notMatch(text, /content-length|transfer-encoding/i)
      t.ok(text.endsWith('\r\n\r\n'))
      t.match(text, /^etag: "x"\r$/m)
    }
  }
  upstream.answer((_, response) => response.writeHead(200, { 'content-length': '5' }).end())
  const known = await open(`${v1}/files/1`, { key, method: 'HEAD' })
  known.resume()
  t.equal(known.headers['content-length'], '5', 'the answer to HEAD keeps it')
})

t.test('our own answers of 204 have no length either', async (t) => {
  const { broker, configId } = await scene(t)
  const own = [
    'OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\nAccess-Control-Request-Method: POST\r\n\r\n',
    `DELETE /api/models/configs/${configId} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${broker.adminToken}\r\n\r\n`,
  ]
  for (const bytes of own) {
    const text = await rawExchange(broker.origin, bytes)
    if (/^HTTP\/1\.1 204 /.test(text)) t.notMatch(text, /content-length|transfer-encoding/i, bytes)
  }
})
