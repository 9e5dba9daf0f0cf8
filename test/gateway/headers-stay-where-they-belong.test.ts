import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { ask, rawExchange } from './fixtures/client.ts'
import { addConfig, addKey, setUp, UPSTREAM_KEY } from './fixtures/upstream.ts'

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

t.test('a header named in Connection, or given twice, brings nothing across', async (t) => {
  const { broker, upstream, key } = await setUp(t)
  const text = await rawExchange(
    broker.origin,
    'POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close, x-evil\r\nX-Evil: 1\r\n' +
      `Authorization: Bearer ${key}\r\nAuthorization: Bearer other\r\nAccept: a/b\r\nAccept: c/d\r\n` +
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
  const answer = await ask(`${v1}/chat/completions`, { key, body: BODY })
  t.notMatch(JSON.stringify(answer.headers), 'canary')
  t.match(answer.headers, { 'x-ratelimit-remaining-requests': '59', 'retry-after': '7' })
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
    return ask(`${v1}/files/1/content`, { key, signal: AbortSignal.timeout(5_000) })
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
