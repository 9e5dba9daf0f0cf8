/** `WORKERS=2`: real processes; refreshes run in the primary, and a worker that dies is replaced. */
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { secretOf, startTenants, tenantProviders } from '../admin/fixtures/tenants.ts'
import { call } from '../support/broker.ts'
import { startProcess } from '../support/broker-process.ts'
import { childrenOf } from '../support/processes.ts'
import { waitUntil } from '../support/wait-until.ts'

async function startTwo(t: Test, SHUTDOWN_GRACE_SECONDS = '5') {
  const broker = await startProcess(t, { env: { WORKERS: '2', SHUTDOWN_GRACE_SECONDS } })
  const key = await broker.practiceKey()
  const chat = async () => (await broker.complete(key)).status
  /** Calls at once. @returns their statuses, each once */
  const chats = async (count: number) => new Set(await Promise.all(Array.from({ length: count }, chat)))
  return { broker, key, chat, chats }
}

t.test('one refresh serves all workers, counters are added up, and a dead worker is replaced', async (t) => {
  const { broker, chat, chats } = await startTwo(t)
  const { admin } = broker
  t.same(await chats(20), new Set([200]))

  const [config] = (await admin('GET', '/api/models/configs')).body.items
  const refreshed = await Promise.all(
    Array.from({ length: 4 }, () => admin('POST', `/api/models/configs/${config.id}/refresh`)),
  )
  t.same(new Set(refreshed.map(({ status }) => status)), new Set([200]))
  t.equal(await chat(), 200, 'with the new token')
  // A refresh is counted when it is stored, a little later than it is of use.
  const renewed = /token_broker_refreshes_total\{outcome="renewed"\} \d/
  await waitUntil(async () => renewed.test((await admin('GET', '/metrics')).body))
  t.match((await admin('GET', '/metrics')).body, /token_broker_answers_total\{status="2xx"\} 21/)

  const children = childrenOf(broker.pid)
  t.equal(children.length, 2)
  process.kill(children[0] ?? 0, 'SIGKILL')
  await broker.untilSaid(/a worker ended/)
  for (let i = 0; i < 10; i += 1) t.equal(await chat(), 200, 'the other one serves on')
})

t.test('an account with inputs is the same at each worker, and changes at each', async (t) => {
  const tenants = await startTenants(t)
  const { providers } = parse(tenantProviders(tenants.origin))
  const broker = await startProcess(t, { env: { WORKERS: '2' }, providers })
  const made = await broker.admin('POST', '/api/models/configs', {
    ...{ name: 'one', provider: 'tenants', models: [{ model_id: 'm' }] },
    inputs: { tenant: 'contoso', client_secret: secretOf('contoso') },
  })
  const { id } = made.body
  const { key } = (await broker.admin('POST', '/api/keys', { name: 'k', model_config_ids: [id] })).body
  const chat = async () => {
    const url = `${broker.origin}/v1/chat/completions`
    return (await call(url, 'POST', { model: 'm', messages: [] }, key)).body.choices?.[0].message.content
  }
  const chats = async () => [...new Set(await Promise.all(Array.from({ length: 20 }, chat)))]
  t.same(await chats(), ['contoso'])
  const asked = tenants.heard.filter(({ url }) => url.endsWith('/token'))
  t.equal(asked.length, 1, 'one token for both')
  const inputs = { tenant: 'fabrikam', client_secret: secretOf('fabrikam') }
  t.equal((await broker.admin('PUT', `/api/models/configs/${id}`, { inputs })).status, 200)
  await waitUntil(async () => String(await chats()) === 'fabrikam')
})

t.test('a worker that is stopped is replaced, and one that is busy for two seconds is not', async (t) => {
  const { broker, chats } = await startTwo(t)
  const [stopped = 0, other = 0] = childrenOf(broker.pid)
  for (const worker of [stopped, other]) {
    process.kill(worker, 'SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    process.kill(worker, 'SIGCONT')
  }
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  t.same(new Set(childrenOf(broker.pid)), new Set([stopped, other]), 'a short halt is forgiven')

  // Five seconds, on a machine as busy as this one is.
  let ticks = 0
  const ticking = setInterval(() => {
    ticks += 1
  }, 500)
  t.teardown(() => clearInterval(ticking))
  process.kill(stopped, 'SIGSTOP')
  await broker.untilSaid(/a worker stands still/)
  await broker.untilSaid(/"msg":"a worker ended; starting another/)
  t.ok(ticks <= 20, `${ticks / 2} s`)
  await waitUntil(() => childrenOf(broker.pid).length === 2)
  const workers = childrenOf(broker.pid)
  t.ok(workers.includes(other) && !workers.includes(stopped))
  t.same(await chats(20), new Set([200]))
})

t.test('SIGTERM: not ready at once, a stream that runs is finished, and the exit code is 0', async (t) => {
  const { broker, key } = await startTwo(t, '60')
  const response = await fetch(`${broker.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'sandbox-model',
      stream: true,
      messages: [{ role: 'user', content: 'a long answer '.repeat(40) }],
    }),
  })
  const code = broker.terminate()
  await waitUntil(async () => !(await broker.isReady()))
  t.equal((await call(`${broker.origin}/health/ready`, 'GET')).status, 503)
  t.match(await response.text(), /data: \[DONE\]\n\n$/)
  t.equal(await code, 0)
})
