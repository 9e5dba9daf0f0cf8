import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { startBroker } from '../support/broker.ts'
import { ask, rawExchange } from './fixtures/client.ts'
import {
  addConfig,
  addKey,
  setUp,
  startUpstream,
  strictProviders,
  UPSTREAM_KEY,
} from './fixtures/upstream.ts'

const BODY = { model: 'model-a' }

t.test("the client's key, cookies and addresses never go up; the credential does, once", async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const sent = {
    cookie: 'session=canary',
    'x-api-key': key,
    'api-key': key,
    'proxy-authorization': `Bearer ${key}`,
    'x-forwarded-for': '10.1.2.3',
    'x-forwarded-authorization': `Bearer ${key}`,
    forwarded: 'for=10.1.2.3',
    origin: 'https://app.example.com',
    referer: 'https://app.example.com/?key=canary',
    'x-custom': 'canary',
    te: 'trailers',
    'openai-organization': 'org-1',
    'user-agent': 'client/1',
  }
  const answer = await ask(`${v1}/chat/completions`, { key, body: BODY, headers: sent })
  t.equal(answer.status, 200)
  const [call] = upstream.calls
  t.equal(call?.headers.authorization, `Bearer ${UPSTREAM_KEY}`)
  t.equal(call?.headers['openai-organization'], 'org-1')
  t.equal(call?.headers['user-agent'], 'token-broker')
  t.equal(call?.headers.host, new URL(upstream.origin).host)
  const raw = call?.rawHeaders.join('\n') ?? ''
  for (const theirs of [key.slice(6), 'session', 'x-custom', '10.1.2.3', 'client/1', 'app.example.com'])
    t.notMatch(raw, theirs)
  t.equal(raw.match(/authorization/gi)?.length, 1)
})

t.test(
  'a broker key in the query goes no further, however it is written, and one in the path is refused',
  async (t) => {
    const { broker, upstream, key, v1 } = await setUp(t)
    const percent = (text: string, times: number): string => {
      const once = text.replace(/[\s\S]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)
      return times === 1 ? once : percent(text, times - 1).replaceAll('%', '%25')
    }
    const queries: readonly (readonly [sent: string, arrives: string])[] = [
      [`?key=${key}`, ''],
      [`?a=1&key=${key}&b=2`, '?a=1&b=2'],
      [`?${key}`, ''],
      [`?x=before-${key}-behind&y=%20+z`, '?y=%20+z'],
      [`?a=%2F&key=${percent(key, 1)}`, '?a=%2F'],
      [`?key=${percent(key, 2)}&a`, '?a'],
      [`?key=${percent(key, 3)}`, ''],
      [`?key=${key.replace('-', '%2D')}&&b`, '?&b'],
      ['?after=risk-tb-2024&x=sk-tb-', '?after=risk-tb-2024&x=sk-tb-'],
    ]
    for (const [sent, arrives] of queries) {
      const answer = await ask(`${v1}/chat/completions${sent}`, { key, body: BODY })
      t.equal(answer.status, 200)
      t.equal(upstream.calls.at(-1)?.url, `/base/v1/chat/completions${arrives}`)
    }
    for (const text of [key, percent(key, 1)]) {
      const answer = await ask(`${v1}/files/${text}`, { key })
      t.equal(answer.status, 400)
    }
    t.equal(
      (await ask(`${v1}/chat/completions?key=${key}`, { body: BODY })).status,
      401,
      'nor is it taken there',
    )
    t.equal(upstream.calls.length, queries.length)
    upstream.answer((request, response) => response.writeHead(307, { location: `${request.url}/` }).end())
    const redirected = await ask(`${v1}/files/1?key=${key}&a=1`, { key })
    t.match(redirected, { status: 307, headers: { location: '/v1/files/1?a=1/' } })
    t.notOk(broker.log.join('').includes(key.slice(6)))
  },
)

t.test('a header named in Connection, or given twice, brings nothing across', async (t) => {
  const { broker, upstream, key } = await setUp(t)
  const text = await rawExchange(
    broker.origin,
    'POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close, x-evil\r\nX-Evil: 1\r\n' +
      `Authorization: Bearer ${key}\r\nAccept: a/b\r\nAccept: c/d\r\n` +
      'Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{"model":"model-a"}',
  )
  t.match(text, /^HTTP\/1.1 200 /)
  const { headers } = upstream.calls[0] ?? {}
  t.match(headers, { authorization: `Bearer ${UPSTREAM_KEY}`, accept: 'a/b, c/d' })
  t.equal(headers?.['x-evil'], undefined)
})

t.test("Set-Cookie and other hosts' business never come back", async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  upstream.answer((_, response) => {
    response.writeHead(200, {
      'content-type': 'application/json',
      'set-cookie': ['session=canary; HttpOnly', 'b=canary'],
      server: 'canary',
      'www-authenticate': 'canary',
      'access-control-allow-origin': 'https://canary.example',
      'x-powered-by': 'canary',
      'x-request-id': 'canary',
      'x-token-broker-trace': 'canary',
      'x-ratelimit-remaining-requests': '59',
      'retry-after': '7',
    })
    response.end('{}')
  })
  const { headers } = await ask(`${v1}/chat/completions`, { key, body: BODY })
  const { 'x-upstream-request-id': theirId, ...others } = headers
  t.equal(theirId, 'canary', 'under a name that is not ours')
  t.notMatch(JSON.stringify(others), 'canary')
  t.match(headers, { 'x-ratelimit-remaining-requests': '59', 'retry-after': '7' })
})

t.test('a header that upstream sends twice comes back twice', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const sent = ['content-type: application/json', 'Vary: a', 'cache-control: no-cache', 'vary: b', 'vary: c']
  upstream.answer((_, response) => {
    response.writeHead(
      200,
      [...sent, 'set-cookie: a=1', 'set-cookie: b=1'].flatMap((line) => line.split(': ')),
    )
    response.end('{}')
  })
  const answer = await ask(`${v1}/chat/completions`, { key, body: BODY })
  t.match(answer.headers, { vary: 'a, b, c', 'cache-control': 'no-cache' })
  t.notOk('set-cookie' in answer.headers)
})

t.test('every answer has a request id of its own and a trace without secrets', async (t) => {
  const { broker, key, v1 } = await setUp(t)
  const ids = new Set<unknown>()
  for (let count = 0; count < 3; count += 1) {
    const { headers } = await ask(`${v1}/models`, {
      key,
      headers: { 'x-request-id': 'chosen-by-the-client' },
    })
    ids.add(headers['x-request-id'])
    t.equal(headers['x-token-broker-trace'], 'config=main; attempt=1; refresh=none')
  }
  t.equal(ids.size, 3)
  t.notOk(ids.has('chosen-by-the-client'))
  const [id] = ids
  t.ok(
    broker.log.some((line) => line.includes(`"requestId":"${id}"`)),
    'which the log has, too',
  )

  const odd = await addConfig(broker, { name: '配置;=1', models: ['odd'] })
  const oddKey = await addKey(broker, { model_config_ids: [odd] })
  const { headers } = await ask(`${v1}/models`, { key: oddKey })
  t.equal(headers['x-token-broker-trace'], `config=${encodeURIComponent('配置;=1')}; attempt=1; refresh=none`)
})

t.test('interim answers of upstream are left out', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  upstream.answer((_, response) => {
    response.writeProcessing()
    response.writeEarlyHints({ link: '</style.css>; rel=preload' })
    setTimeout(() => response.writeHead(200, { 'content-type': 'text/plain' }).end('the real one'), 20)
  })
  const answer = await ask(`${v1}/chat/completions`, { key, body: BODY })
  t.equal(answer.status, 200)
  t.equal(answer.body.toString(), 'the real one')
})

t.test('a head that Node would not write comes through, or is refused, but never hangs', async (t) => {
  let extra = ''
  const server = createServer((socket) => {
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 4\r\n'
    socket.on('error', () => {})
    socket.once('data', () => socket.end(`${head}connection: close\r\n${extra}\r\n\r\nbody`))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const { broker, v1 } = await setUp(t)
  const id = await addConfig(broker, { name: 'odd', base_url: `http://127.0.0.1:${port}/v1` })
  const key = await addKey(broker, { model_config_ids: [id] })
  const askWith = (header: string) => {
    extra = header
    return ask(`${v1}/files/1/content`, { key })
  }
  for (const header of [
    'content-disposition: attachment; filename="模型.txt"',
    'x-dashscope-note: 余额不足',
  ]) {
    const answer = await askWith(header)
    t.equal(answer.status, 200)
    t.equal(answer.body.toString(), 'body')
    const [name = '', value = ''] = header.split(': ')
    t.equal(Buffer.from(String(answer.headers[name]), 'latin1').toString(), value, 'byte for byte')
  }
  for (const header of ['x-dashscope-note: a\x7fb', 'x-dashscope-note: a\x01b', 'x-dashscope-note: a\x00b']) {
    const answer = await askWith(header)
    t.equal(answer.status, 502, JSON.stringify(header))
    t.match(answer.body.toString(), /upstream_(broken|unreachable)/)
  }
})

t.test("upstream's id of a request comes back and is in the log, by whatever name it came", async (t) => {
  const { broker, upstream, key, v1 } = await setUp(t)
  const names = ['x-request-id', 'request-id', 'x-amzn-requestid', 'apim-request-id', 'x-ms-request-id']
  for (const [index, name] of names.entries()) {
    const id = `theirs-"${index}`
    const less = Object.fromEntries(names.slice(index + 1).map((other) => [other, 'less']))
    upstream.answer((_, response) => response.writeHead(400, { ...less, [name]: id }).end('{}'))
    const { headers } = await ask(`${v1}/chat/completions`, { key, body: BODY })
    t.equal(headers['x-upstream-request-id'], id, name)
    t.not(headers['x-request-id'], id)
    const line = broker.log.map((text) => JSON.parse(text)).find((fields) => fields.upstreamRequestId === id)
    t.match(line, { requestId: headers['x-request-id'], status: 400, msg: 'call' })
  }
  upstream.answer((_, response) => response.end('{}'))
  const { headers } = await ask(`${v1}/chat/completions`, { key, body: BODY })
  t.notOk('x-upstream-request-id' in headers)
})

t.test('a challenge comes back with 401, unless a browser would ask its user for a password', async (t) => {
  const { upstream, key, v1 } = await setUp(t)
  const challengeOf = async (challenge: string, status: number) => {
    upstream.answer((_, response) => response.writeHead(status, { 'www-authenticate': challenge }).end('{}'))
    return (await ask(`${v1}/files`, { key })).headers['www-authenticate']
  }
  const bearer = 'Bearer realm="basic", error="invalid_token"'
  t.equal(await challengeOf(bearer, 401), bearer)
  t.equal(await challengeOf(bearer, 403), undefined)
  for (const scheme of ['Basic realm="x"', 'BASIC', 'Digest a="b"', 'Bearer, Negotiate', 'NTLM'])
    t.equal(await challengeOf(scheme, 401), undefined, scheme)
})

t.test('a provider file names more headers that go up, never a key or what is for one hop', async (t) => {
  const upstream = await startUpstream(t)
  const { strict } = strictProviders(upstream.origin)
  const pass_headers = ['X-Exact', 'user-agent', 'x-d*']
  const providers = { strict: { ...strict, upstream: { ...strict.upstream, pass_headers } } }
  const config = JSON.stringify({ allow_insecure_loopback: true, providers })
  const broker = await startBroker(t, { config })
  const id = await addConfig(broker, { name: 'main', models: ['model-a'] })
  const key = await addKey(broker, { model_config_ids: [id] })
  const up = { 'x-exact': '1', 'x-dashscope-sse': 'enable', 'x-d': '2', 'x-client-request-id': 'mine' }
  const stays = {
    'x-exactly': '3',
    'x-d-api-key': 'k',
    'x-d-hop': '4',
    'x-stainless-lang': 'js',
    'x-api-key': key,
  }
  const headers = { ...up, ...stays, connection: 'close, X-D-Hop', 'user-agent': 'client/1' }
  t.equal((await ask(`${broker.origin}/v1/chat/completions`, { key, body: BODY, headers })).status, 200)
  const [call] = upstream.calls
  t.match(call?.headers, { ...up, authorization: `Bearer ${UPSTREAM_KEY}` })
  for (const name of Object.keys(stays)) t.notOk(name in (call?.headers ?? {}), name)
  t.equal(call?.rawHeaders.filter((name) => name.toLowerCase() === 'user-agent').length, 1)
})
