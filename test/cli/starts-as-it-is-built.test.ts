/** What users start: the bundle of `npm run build`, which must find all that lies beside it, from any directory. */
import t, { type Test } from 'tap'
import { call } from '../support/broker.ts'
import { type BrokerProcess, BUILT, startProcess } from '../support/broker-process.ts'
import { onEachDatabase } from '../support/databases.ts'

const startBuilt = (t: Test, env: Record<string, string> = {}) => startProcess(t, { main: BUILT, env })

const chat = async (broker: BrokerProcess) => (await broker.complete(await broker.practiceKey())).status

onEachDatabase(t, 'it migrates and answers a call', async (t, { url }) => {
  t.equal(await chat(await startBuilt(t, { DATABASE_URL: url })), 200)
})

t.test('its workers are bundles, too', async (t) => {
  const built = await startBuilt(t, { WORKERS: '2' })
  for (let i = 0; i < 4; i += 1) t.equal(await chat(built), 200)
})

t.test('it finds presets, the console and the pages of the docs', async (t) => {
  const { origin, admin } = await startBuilt(t)
  const providers = await admin('GET', '/api/providers')
  t.match(JSON.stringify(providers.body), /"dashscope-intl"/)

  const page = await call(origin, 'GET')
  t.equal(page.status, 200)
  const script = /src="\.\/(assets\/[^"]+\.js)"/.exec(page.body)?.[1]
  t.equal((await call(`${origin}/${script}`, 'GET')).status, 200)
  t.equal((await call(`${origin}/token-broker-connect.js`, 'GET')).status, 200)

  t.match((await call(`${origin}/docs`, 'GET')).body, /swagger-ui/)
  t.equal((await call(`${origin}/docs/static/swagger-ui.css`, 'GET')).status, 200)
  t.match((await call(`${origin}/docs/static/swagger-initializer.js`, 'GET')).body, /data:image\/svg/)
  t.match((await call(`${origin}/openapi.json`, 'GET')).body, { paths: { '/api/keys': Object } })
})
