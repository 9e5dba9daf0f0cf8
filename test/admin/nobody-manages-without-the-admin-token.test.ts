import t from 'tap'
import { call, startBroker } from '../support/broker.ts'
import { CONFIGS, create, KEYS, keyConfig, start } from './fixtures/management.ts'

t.test('401 on every route, whatever else is shown', async (t) => {
  const broker = await startBroker(t, { env: { TRUSTED_PROXIES: '127.0.0.1' } })
  const { id } = await create(broker, keyConfig('first'))
  const key = await broker.admin('POST', KEYS, { name: 'k' })
  const routes = [
    ['GET', CONFIGS],
    ['POST', CONFIGS],
    ['GET', `${CONFIGS}/${id}`],
    ['PUT', `${CONFIGS}/${id}`],
    ['PATCH', `${CONFIGS}/${id}/status?is_active=false`],
    ['DELETE', `${CONFIGS}/${id}`],
    ['POST', `${CONFIGS}/${id}/refresh`],
    ['POST', `${CONFIGS}/${id}/diagnose`],
    ['POST', `${CONFIGS}/test-connection`],
    ['GET', KEYS],
    ['POST', KEYS],
    ['DELETE', `${KEYS}/${key.body.id}`],
    ['GET', '/api/usage'],
    ['GET', '/metrics'],
  ] as const
  const { adminToken } = broker
  const shown = [
    undefined,
    '',
    key.body.key,
    adminToken.slice(0, -1),
    `${adminToken}x`,
    adminToken.toUpperCase(),
    `${adminToken}, ${adminToken}`,
    ` ${adminToken}`,
  ]
  for (const [nth, [method, path]] of routes.entries()) {
    for (const token of shown) {
      // Ten wrong ones a minute are told so; each route is asked from elsewhere.
      const headers = {
        'x-forwarded-for': `10.0.0.${nth}`,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      }
      const response = await fetch(broker.origin + path, { method, headers })
      const answer = { status: response.status, headers: response.headers, body: await response.json() }
      t.equal(answer.status, 401, `${method} ${path} ${token?.slice(0, 8)}`)
      t.match(answer.body, { code: 'admin_token_required', detail: '需要管理员令牌' })
      t.equal(answer.headers.get('cache-control'), 'no-store')
    }
  }
  const basic = { authorization: `Basic ${btoa(`admin:${adminToken}`)}` }
  t.equal((await fetch(broker.origin + CONFIGS, { headers: basic })).status, 401)
  t.equal((await fetch(`${broker.origin + CONFIGS}?token=${adminToken}`)).status, 401)
  t.equal((await fetch(broker.origin + CONFIGS, { headers: { cookie: `token=${adminToken}` } })).status, 401)
  t.match(
    (await broker.admin('GET', CONFIGS)).body,
    { total: 1, items: [{ is_active: true }] },
    'nothing happened',
  )
  t.equal((await broker.admin('GET', KEYS)).body.total, 1)
})

t.test('the admin token is none for /v1, and a body is not even read without it', async (t) => {
  const broker = await start(t)
  t.equal((await call(`${broker.origin}/v1/models`, 'GET', undefined, broker.adminToken)).status, 401)
  t.equal((await call(broker.origin + CONFIGS, 'POST', '{', 'wrong')).status, 401)
})
