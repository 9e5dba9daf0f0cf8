/** PUBLIC_URL with a path: everything below it, behind an nginx that strips the path and behind one that does not. */
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import t, { type Test } from 'tap'
import { type Broker, call, startBroker } from '../support/broker.ts'
import { onNginx } from '../support/nginx.ts'

const BASE = '/corp/llm'
const HELLO = { model: 'sandbox-model', messages: [{ role: 'user', content: 'Hello' }] }

/** Each `src` and `href` of a page, as a browser opens it. */
function links(html: string, page: string): string[] {
  return [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, link = '']) => new URL(link, page).href)
}

async function checkAll(t: Test, root: string, broker: Broker, key: string): Promise<void> {
  const get = async (url: string, headers = {}) => {
    const answer = await fetch(url, { headers, redirect: 'manual' })
    return { status: answer.status, headers: answer.headers, text: await answer.text() }
  }
  t.equal((await get(`${root}/health/live`)).status, 200)
  for (const page of [`${root}/`, `${root}/docs`, `${root}/docs/`]) {
    const { status, text } = await get(page)
    t.equal(status, 200, page)
    const found = links(text, page)
    t.ok(found.length >= 3, `${page}: ${found.length} links`)
    for (const link of found) {
      t.ok(link.startsWith(`${root}/`), `${page}: ${link}`)
      t.equal((await get(link)).status, 200, link)
    }
  }
  t.same(JSON.parse((await get(`${root}/openapi.json`)).text).servers, [
    { url: `https://corp.example${BASE}` },
  ])

  const authorization = `Bearer ${key}`
  t.equal((await call(`${root}/v1/chat/completions`, 'POST', HELLO, key)).status, 200)
  t.equal((await get(`${root}/v1/models`, { authorization })).status, 200)
  t.match(JSON.parse((await get(`${root}/v1/models`)).text), { error: { code: 'invalid_api_key' } })
  t.equal((await call(`${root}/api/sandbox/oauth/device-code`, 'POST', {})).status, 200)

  const signedIn = await call(`${root}/api/session`, 'POST', { token: broker.adminToken })
  const cookie = signedIn.headers.get('set-cookie') ?? ''
  t.match(cookie, new RegExp(`; Path=${BASE};`))
  const session = { cookie: cookie.split(';')[0] }
  t.equal((await get(`${root}/api/models/configs`, session)).status, 200)
  t.match(await upgradeStatus(`${root}/v1/realtime?model=m`), /^HTTP\/1\.1 (400|401|426) /)
}

/** The status line of a WebSocket's handshake without a key. */
function upgradeStatus(url: string): Promise<string> {
  const { port, pathname, search } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1')
    const key =
      'connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
    socket.write(`GET ${pathname}${search} HTTP/1.1\r\nhost: broker\r\n${key}\r\n`)
    socket.once('data', (bytes) => resolve(bytes.toString('latin1'))).once('error', reject)
    socket.once('data', () => socket.destroy())
  })
}

/** An endpoint that sends every call on to itself. */
async function startRedirecting(t: Test): Promise<string> {
  const server = createServer((_, response) => response.writeHead(307, { location: '/v1/moved' }).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
}

onNginx(t, 'stripped or not: console, docs, API and completions', async (t, inFrontOf) => {
  const config = 'allow_insecure_loopback: true\nproviders: { plain: { credential: api_key, upstream: {} } }'
  const broker = await startBroker(t, { env: { PUBLIC_URL: `https://corp.example${BASE}/` }, config })
  const { key } = await broker.connect()
  const stripped = await inFrontOf(broker.origin, {
    [`${BASE}/`]: `${broker.origin}/`,
    '/': 'http://127.0.0.1:1',
  })
  const kept = await inFrontOf(broker.origin, { [BASE]: broker.origin, '/': 'http://127.0.0.1:1' })
  for (const origin of [stripped, kept, broker.origin]) await checkAll(t, origin + BASE, broker, key)

  for (const page of [`${kept}${BASE}`, `${broker.origin}/`]) {
    const { origin } = new URL(page)
    const found = links(await (await fetch(page)).text(), page)
    t.ok(found.length >= 3)
    for (const link of found) t.ok(link.startsWith(`${origin}${BASE}/`), `also without a slash: ${link}`)
  }
  t.equal((await fetch(`${broker.origin}${BASE}x/health/live`)).status, 404, 'a path that only begins so')
  t.equal((await fetch(`${broker.origin}/health/live`)).status, 200, 'and without the path, for balancers')

  const fields = {
    name: 'p',
    provider: 'plain',
    api_key: 'k',
    base_url: await startRedirecting(t),
    models: [],
  }
  const made = await broker.admin('POST', '/api/models/configs', fields)
  const other = (await broker.admin('POST', '/api/keys', { name: 'p', model_config_ids: [made.body.id] }))
    .body.key
  for (const origin of [stripped, kept]) {
    const headers = { authorization: `Bearer ${other}` }
    const moved = await fetch(`${origin}${BASE}/v1/files/x`, { headers, redirect: 'manual' })
    t.match(
      { status: moved.status, location: moved.headers.get('location') },
      { status: 307, location: `${BASE}/v1/moved` },
    )
  }
})

t.test('links that are sent out, and the pages behind them', async (t) => {
  const broker = await startBroker(t, { env: { PUBLIC_URL: `https://corp.example${BASE}` } })
  const page = await (await fetch(`${broker.origin}${BASE}/login/none`)).text()
  for (const link of links(page, `http://x${BASE}/login/none`))
    t.ok(link.startsWith(`http://x${BASE}/`), link)
  t.equal((await fetch(`${broker.origin}${BASE}/login/session/sandbox/none`)).status, 404)
})
