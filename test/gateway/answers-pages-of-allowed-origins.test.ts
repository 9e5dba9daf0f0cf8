import t from 'tap'
import { request } from 'undici'
import { startBroker } from '../support/broker.ts'

const ORIGIN = 'https://app.example.com'
const ALLOW = 'access-control-allow-origin'

t.test('a page of an allowed origin may log in and call models, and nothing else', async (t) => {
  const broker = await startBroker(t, { env: { CORS_ORIGINS: `${ORIGIN},http://localhost:5173` } })
  const { key } = await broker.connect()
  const ask = (method: string, path: string, headers: Record<string, string>, body?: object) =>
    fetch(broker.origin + path, {
      method,
      headers: { origin: ORIGIN, ...headers },
      ...(body && { body: JSON.stringify(body) }),
    })
  const preflight = (path: string, origin = ORIGIN) =>
    ask('OPTIONS', path, {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    })
  for (const path of ['/v1/chat/completions', '/api/sandbox/oauth/device-code']) {
    const answer = await preflight(path)
    t.equal(answer.status, 204, path)
    t.equal(answer.headers.get(ALLOW), ORIGIN)
    t.match(answer.headers.get('access-control-allow-headers'), /authorization/)
    t.match(answer.headers.get('access-control-allow-methods'), /DELETE/)
    t.equal((await preflight(path, 'https://evil.example')).headers.get(ALLOW), null)
  }
  for (const path of ['/api/keys', '/api/models/configs', '/api/session', '/metrics']) {
    t.equal((await preflight(path)).headers.get(ALLOW), null, path)
  }

  const authorization = `Bearer ${key}`
  const body = { model: 'sandbox-model', stream: true, messages: [{ role: 'user', content: 'Hi' }] }
  const json = { authorization, 'content-type': 'application/json' }
  const completion = await ask('POST', '/v1/chat/completions', json, body)
  t.equal(completion.headers.get(ALLOW), ORIGIN)
  t.match(completion.headers.get('vary'), /origin/i)
  t.match(completion.headers.get('access-control-expose-headers'), /x-request-id/)
  t.match(await completion.text(), /\[DONE\]/)
  const refused = await ask('POST', '/v1/chat/completions', { ...json, authorization: 'Bearer x' }, body)
  t.match({ status: refused.status, allow: refused.headers.get(ALLOW) }, { status: 401, allow: ORIGIN })
  const other = await ask('POST', '/v1/chat/completions', { ...json, origin: 'https://evil.example' }, body)
  t.equal(other.headers.get(ALLOW), null)
  await other.text()
  const code = await ask('POST', '/api/sandbox/oauth/device-code', {})
  t.match({ status: code.status, allow: code.headers.get(ALLOW) }, { status: 200, allow: ORIGIN })
})

t.test('apps with schemes of their own, and hosts in any case', async (t) => {
  const CORS_ORIGINS = 'app://obsidian.md,Chrome-Extension://ABCD/,https://App.Example.com/'
  const broker = await startBroker(t, { env: { CORS_ORIGINS } })
  const allowed = async (origin: string) =>
    (await fetch(`${broker.origin}/v1/models`, { headers: { origin } })).headers.get(ALLOW)
  for (const origin of [
    'app://obsidian.md',
    'chrome-extension://abcd',
    'https://app.example.com',
    'https://APP.example.com',
  ])
    t.equal(await allowed(origin), origin, 'as it was sent: browsers compare letter by letter')
  const others = [
    'null',
    'app://obsidian.md.evil',
    'app://obsidian.md/',
    'https://app.example.com:8443',
    'app://',
  ]
  for (const origin of [...others, 'http://app.example.com', '*', 'tauri://obsidian.md'])
    t.equal(await allowed(origin), null, origin)
  t.match((await fetch(`${broker.origin}/v1/models`)).headers.get('vary'), /origin/i)
})

t.test('a page of another site starts no login, though it would not see the answer', async (t) => {
  const broker = await startBroker(t, { env: { CORS_ORIGINS: ORIGIN } })
  const path = `${broker.origin}/api/sandbox/oauth/device-code`
  const rows: [who: string, headers: Record<string, string>, status: number][] = [
    ['another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, 403],
    ['a file, or a sandboxed frame', { origin: 'null', 'sec-fetch-site': 'cross-site' }, 403],
    ['a page that hides where it is', { 'sec-fetch-site': 'cross-site' }, 403],
    ['an allowed one', { origin: ORIGIN, 'sec-fetch-site': 'cross-site' }, 200],
    ['the console', { origin: broker.origin, 'sec-fetch-site': 'same-origin' }, 200],
    [
      'a page behind the same proxy',
      { origin: 'https://front.example', 'sec-fetch-site': 'same-origin' },
      200,
    ],
    ['no browser', {}, 200],
  ]
  for (const [who, headers, status] of rows) {
    const answer = await request(path, { method: 'POST', headers })
    t.equal(answer.statusCode, status, who)
    t.equal(answer.headers['x-content-type-options'], 'nosniff')
    const text = await answer.body.text()
    if (status === 403) t.match(text, /"code":"origin_not_allowed"/)
  }
})

t.test('no answer is taken for a page that it is not, and no page is shown in a frame', async (t) => {
  const broker = await startBroker(t)
  const headers = { authorization: `Bearer ${broker.adminToken}` }
  const answers = ['/api/models/configs', '/api/keys', '/api/usage', '/api/audit', '/api/session', '/metrics']
  const pages = ['/', '/login/none', '/login/session/sandbox/none', '/docs', '/api/sandbox/oauth/status']
  for (const path of [...answers, ...pages]) {
    const answer = await request(broker.origin + path, { headers })
    await answer.body.dump()
    if (path !== '/docs') t.equal(answer.headers['x-content-type-options'], 'nosniff', path)
    if (!String(answer.headers['content-type']).startsWith('text/html')) continue
    t.match(answer.headers['content-security-policy'], /frame-ancestors '(none|self)'/, path)
  }
})
