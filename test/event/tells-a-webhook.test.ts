/** Events: written with what they tell about, delivered signed, and with a link that logs in again. */
import { createHmac } from 'node:crypto'
import t from 'tap'
import { call, login, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { die, lookAt, SECRET, startReceiver } from './fixtures/receiver.ts'

const env = (url: string) => ({ WEBHOOK_URL: url, WEBHOOK_SECRET: SECRET })

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
    await waitUntil(() => told().length > 0)
    const [delivery] = told()
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
    t.match(await lookAt(origin + page), { status: 200, body: /Connected/ })

    const item = (await broker.admin('GET', `/api/models/configs/${configId}`)).body
    t.equal(item.credential.state, 'active')
    const chat = { model: 'sandbox-model', messages: [{ role: 'user', content: 'hi' }] }
    t.equal((await call(`${replica.origin}/v1/chat/completions`, 'POST', chat, key)).status, 200)
    await waitUntil(() => receiver.deliveries.some(({ body }) => body.includes('credential.recovered')))
    t.equal(told().length, 1, 'two replicas deliver it once')
  },
)

t.test('a receiver that is down hears of it later', async (t) => {
  const receiver = await startReceiver(t, 1)
  const broker = await startBroker(t, { env: env(receiver.url) })
  const { configId } = await broker.connect()
  await die(broker, configId)
  await waitUntil(() => receiver.deliveries.length > 0)
  t.pass('delivered at the second try')
})

t.test('doubt and its end are events too', async (t) => {
  const receiver = await startReceiver(t)
  const broker = await startBroker(t, { env: env(receiver.url) })
  const { configId } = await broker.connect()
  broker.sandbox.faults.next('refresh', { status: 503, body: 'no' })
  await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  await waitUntil(() => receiver.deliveries.some(({ body }) => body.includes('credential.uncertain')))
  await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  await waitUntil(() => receiver.deliveries.some(({ body }) => body.includes('credential.recovered')))
  t.pass('uncertain, then recovered')
})

t.test('a link nobody gave out is no link, and markup in a config name stays text', async (t) => {
  const receiver = await startReceiver(t)
  const broker = await startBroker(t, { env: env(receiver.url) })
  t.match(await call(`${broker.origin}/login/guess`, 'GET'), { status: 404, body: /no longer good/ })
  t.match(await call(`${broker.origin}/login/guess`, 'POST'), { status: 404 })
  const { configId } = await broker.connect('<img src=x onerror=alert(1)>')
  await die(broker, configId)
  const find = () => receiver.deliveries.find(({ body }) => body.includes('reauth_required'))
  await waitUntil(() => find() !== undefined)
  const delivery = find()
  const page = await call(JSON.parse(delivery?.body ?? '').login_url, 'GET')
  t.notMatch(page.body, /<img/)
  t.match(page.headers.get('content-security-policy'), /default-src 'none'/)
  t.ok(await login(broker))
})
