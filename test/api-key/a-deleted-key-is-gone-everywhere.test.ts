import t, { type Test } from 'tap'
import { ask } from '../gateway/fixtures/client.ts'
import { addConfig, addKey, type Setup, setUp, strictConfig } from '../gateway/fixtures/upstream.ts'
import { type Broker, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'

const BODY = { model: 'model-a' }

/** Two brokers over one database, as behind a load balancer. */
async function setUpTwo(t: Test, { url }: TestDatabase): Promise<Setup & { other: Broker }> {
  const DATA_DIR = t.testdir()
  const options = { databaseUrl: url, env: { DATA_DIR } }
  const setup = await setUp(t, options)
  const shared = setup.broker.sandbox
  const other = await startBroker(t, { ...options, shared, config: strictConfig(setup.upstream.origin) })
  return { ...setup, other }
}

async function statusAt({ origin }: Broker, key: string): Promise<number> {
  return (await ask(`${origin}/v1/chat/completions`, { key, body: BODY })).status
}

onEachDatabase(t, 'a key deleted at one replica is refused at the other within 5 s', async (t, where) => {
  const { broker, other, key } = await setUpTwo(t, where)
  t.equal(await statusAt(broker, key), 200)
  t.equal(await statusAt(other, key), 200)
  const keys = await broker.admin('GET', '/api/keys')
  t.equal((await broker.admin('DELETE', `/api/keys/${keys.body.items[0].id}`)).status, 204)
  t.equal(await statusAt(broker, key), 401, 'here at once')
  await waitUntil(async () => (await statusAt(other, key)) === 401)
  t.pass('there within 5 s')
})

onEachDatabase(
  t,
  'a key made at one replica works at the other, though it was unknown there',
  async (t, where) => {
    const { broker, other, configId } = await setUpTwo(t, where)
    const key = await addKey(broker, { model_config_ids: [configId] })
    t.equal(await statusAt(other, key), 200)
    // An unknown key is remembered as such; a change must make the other replica forget that.
    const made = await addKey(broker, { model_config_ids: [configId] })
    const wrong = `${made.slice(0, -2)}${made.endsWith('AA') ? 'BB' : 'AA'}`
    t.equal(await statusAt(other, wrong), 401)
    t.equal(await statusAt(other, made), 200)
  },
)

onEachDatabase(t, 'a config changed at one replica is changed at the other within 5 s', async (t, where) => {
  const { broker, other, upstream, configId, key } = await setUpTwo(t, where)
  t.equal(await statusAt(other, key), 200)
  await broker.admin('PUT', `/api/models/configs/${configId}`, { base_url: `${upstream.origin}/moved/v1` })
  await waitUntil(async () => {
    await statusAt(other, key)
    return upstream.calls.at(-1)?.url === '/moved/v1/chat/completions'
  })
  await broker.admin('PATCH', `/api/models/configs/${configId}/status?is_active=false`)
  await waitUntil(async () => (await statusAt(other, key)) === 404)
  await addConfig(broker, { name: 'second', models: ['model-a'] })
  const everywhere = await addKey(broker)
  t.equal(await statusAt(other, everywhere), 200)
})
