/** Events: written with what they tell about, delivered signed, and with a link that logs in again. */
import { createHmac } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { type Broker, call, login, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'

const SECRET = 'webhook-secret-0123456789'

interface Delivery {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Refuses as often as it is told to, then accepts. */
async function startReceiver(t: Test, refusals = 0) {
  const deliveries: Delivery[] = []
  let left = refusals
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    left -= 1
    if (left < 0) deliveries.push({ headers: request.headers, body })
    response.writeHead(left < 0 ? 204 : 503).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  return { url, deliveries }
}

async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (let i = 0; i < 200; i += 1) {
    const found = look()
    if (found) return found
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('nothing came')
}

const env = (url: string) => ({ WEBHOOK_URL: url, WEBHOOK_SECRET: SECRET })

async function die(broker: Broker, configId: string): Promise<void> {
  await broker.sandbox.revokeFamilies()
  const answer = await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  if (answer.status !== 401) throw new Error(`not dead: ${answer.status}`)
}

onEachDatabase(
  t,
  'a dead login is told once, signed, and its link logs the same config in again',
  async (t, { url }) => {
    const receiver = await startReceiver(t)
    const broker = await startBroker(t, { databaseUrl: url, env: env(receiver.url) })
    const replica = await startBroker(t, {
      databaseUrl: url,
      env: { ...env(receiver.url), DATA_DIR: broker.dataDir },
      shared: broker.sandbox,
    })
    const { configId, key } = await broker.connect()
    await die(broker, configId)

    const told = () => receiver.deliveries.filter(({ body }) => body.includes('credential.reauth_required'))
    const [delivery] = await until(() => told().length > 0 && told())
    const event = JSON.parse(delivery?.body ?? '')
    t.match(event, {
      type: 'credential.reauth_required',
      config: { id: configId, name: 'practice', provider: 'sandbox' },
    })
    const timestamp = delivery?.headers['x-token-broker-timestamp']
    const signature = createHmac('sha256', SECRET).update(`${timestamp}.${delivery?.body}`).digest('hex')
    t.equal(delivery?.headers['x-token-broker-signature'], `v1=${signature}`)

    const open = await call(event.login_url, 'GET')
    t.match(open, { status: 200, body: /practice/ })
    t.equal((await call(event.login_url, 'GET')).status, 200, 'looking at it does not use it up')
    const started = await call(event.login_url, 'POST')
    const code = /<strong>([^<]+)</.exec(started.body)?.[1] ?? ''
    const page = /href="(\/login\/session\/[^"]+)"/.exec(started.body)?.[1] ?? ''
    t.match(await call(event.login_url, 'POST'), { status: 404 }, 'good once')
    const { origin } = new URL(event.login_url)
    t.match(await call(origin + page, 'GET'), { status: 200, body: /Waiting/ })
    t.equal(await broker.sandbox.approve(code), true)
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    t.match(await call(origin + page, 'GET'), { status: 200, body: /Connected/ })

    const item = (await broker.admin('GET', `/api/models/configs/${configId}`)).body
    t.equal(item.credential.state, 'active')
    const chat = { model: 'sandbox-model', messages: [{ role: 'user', content: 'hi' }] }
    t.equal((await call(`${replica.origin}/v1/chat/completions`, 'POST', chat, key)).status, 200)
    await until(() => receiver.deliveries.some(({ body }) => body.includes('credential.recovered')))
    t.equal(told().length, 1, 'two replicas deliver it once')
  },
)

t.test('a receiver that is down hears of it later', async (t) => {
  const receiver = await startReceiver(t, 1)
  const broker = await startBroker(t, { env: env(receiver.url) })
  const { configId } = await broker.connect()
  await die(broker, configId)
  await until(() => receiver.deliveries.length > 0)
  t.pass('delivered at the second try')
})

t.test('doubt and its end are events too', async (t) => {
  const receiver = await startReceiver(t)
  const broker = await startBroker(t, { env: env(receiver.url) })
  const { configId } = await broker.connect()
  broker.sandbox.faults.next('refresh', { status: 503, body: 'no' })
  await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  await until(() => receiver.deliveries.some(({ body }) => body.includes('credential.uncertain')))
  await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  await until(() => receiver.deliveries.some(({ body }) => body.includes('credential.recovered')))
  t.pass('uncertain, then recovered')
})

t.test('a link nobody gave out is no link, and markup in a config name stays text', async (t) => {
  const receiver = await startReceiver(t)
  const broker = await startBroker(t, { env: env(receiver.url) })
  t.match(await call(`${broker.origin}/login/guess`, 'GET'), { status: 404, body: /no longer good/ })
  t.match(await call(`${broker.origin}/login/guess`, 'POST'), { status: 404 })
  const { configId } = await broker.connect('<img src=x onerror=alert(1)>')
  await die(broker, configId)
  const delivery = await until(() => receiver.deliveries.find(({ body }) => body.includes('reauth_required')))
  const page = await call(JSON.parse(delivery.body).login_url, 'GET')
  t.notMatch(page.body, /<img/)
  t.match(page.headers.get('content-security-policy'), /default-src 'none'/)
  t.ok(await login(broker))
})
