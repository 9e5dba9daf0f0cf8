import t from 'tap'
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
