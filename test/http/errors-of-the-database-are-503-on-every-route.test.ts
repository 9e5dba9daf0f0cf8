/** Whatever a server says, also what no list knows: the API answers that storage is not available just now, never 500. */
import t from 'tap'
import { ERROR_NUMBERS, errorPacket } from '../chaos/mysql-errors.ts'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { type Answer, call, startBroker } from '../support/broker.ts'
import { onMysql } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'

const MESSAGES = [{ role: 'user', content: 'hi' }]
/** What operations of the API's description are given, where a body without it would be refused before it is looked up. */
const BODIES: Record<string, object> = {
  'POST /api/models/configs': {
    name: 'n',
    provider: 'sandbox',
    models: [{ model_id: 'm' }],
    oauth_session_id: '0b0e7a0c-8a3e-4a2c-9a6e-2f6f3c1d9e10',
  },
  'POST /api/keys': { name: 'n' },
  'POST /api/{provider}/oauth/device-code': {},
}
/** A unique index alone has a meaning of its own. */
const NUMBERS = ERROR_NUMBERS.filter((number) => number !== 1062)

onMysql(t, 'each operation, each with another number', async (t, { url }) => {
  const proxy = await TcpProxy.to(url)
  t.teardown(() => proxy.close())
  const broker = await startBroker(t, { databaseUrl: proxy.via(url) })
  const { configId, key } = await broker.connect()
  const { paths } = (await call(`${broker.origin}/openapi.json`, 'GET')).body
  const operations = Object.entries<object>(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  let next = 0
  proxy.tap = {
    toServer(chunk) {
      const isQuery = chunk[4] === 0x03
      next += 1
      return isQuery ? errorPacket(NUMBERS[next % NUMBERS.length] ?? 0) : undefined
    },
  }
  const seen = new Map<string, Answer>()
  for (const operation of operations) {
    const [method = '', path = ''] = operation.split(' ')
    // Streams of events have no end, and metrics nothing to ask.
    if (/\/(live|events)$|^\/metrics$/.test(path)) continue
    const target = path.replace('{provider}', 'sandbox').replace(/\{[^}]*\}/g, configId)
    const query = path.endsWith('/status') ? `?session_id=${configId}` : ''
    const body = method === 'GET' || method === 'DELETE' ? undefined : (BODIES[operation] ?? {})
    seen.set(operation, await broker.admin(method, target + query, body))
  }
  const model = { model: 'sandbox-model', messages: MESSAGES }
  const unknown = `${key.slice(0, -3)}abc`
  seen.set('a key', await call(`${broker.origin}/v1/chat/completions`, 'POST', model, unknown))
  proxy.tap = {}
  const away = [...seen].filter(([, { status }]) => status === 503)
  for (const [operation, { status, body }] of seen) {
    t.ok(status === 503 || status < 500, `${operation}: ${status} ${JSON.stringify(body).slice(0, 200)}`)
  }
  for (const [operation, { body }] of away) {
    if (operation.startsWith('GET /health')) continue
    // A page says it in words.
    t.match(JSON.stringify(body), /"storage_unavailable"|The database cannot be reached/, operation)
  }
  t.comment(away.map(([operation]) => operation).join(', '))
  t.ok(away.length > 12, 'most of them ask the database')
  await waitUntil(async () => (await broker.admin('GET', '/api/keys')).status === 200)
})
