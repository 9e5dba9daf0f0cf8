import t, { type Test } from 'tap'
import { call, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { CONFIGS, create } from './fixtures/management.ts'
import { configRows } from './fixtures/rows.ts'
import { startTenants, tenantProviders } from './fixtures/tenants.ts'

async function setUp(t: Test, { url }: TestDatabase) {
  const tenants = await startTenants(t)
  const broker = await startBroker(t, { databaseUrl: url, config: tenantProviders(tenants.origin) })
  const inputs = { tenant: 'contoso' }
  const made = await create(broker, {
    name: 'one',
    provider: 'tenants-login',
    models: [{ model_id: 'm' }],
    inputs,
  })
  /** Approves the login and follows it to its end. */
  const logIn = async (id: string) => {
    const begun = await broker.admin('POST', `${CONFIGS}/${id}/login`)
    const path = `${CONFIGS}/${id}/login/${begun.body.session_id}`
    const device = tenants.heard.findLast((one) => one.url.endsWith('/device'))
    tenants.approved.add(`device-code-of-${device?.url.split('/')[1]}-${tenants.heard.length}-0123456789`)
    return { begun, path, follow: () => broker.admin('GET', path) }
  }
  return { tenants, broker, made, logIn }
}

onEachDatabase(
  t,
  'an account is made with its inputs, and then logged in where they say',
  async (t, database) => {
    const { broker, tenants, made, logIn } = await setUp(t, database)
    t.match(made, { inputs: { tenant: 'contoso' }, credential: { state: 'missing', next_action: 'login' } })
    const { begun, follow } = await logIn(made.id)
    t.match(begun, {
      status: 200,
      body: { user_code: 'ABCD', verification_uri: 'https://vendor.example/device' },
    })
    t.match(tenants.heard.at(-1), { url: '/contoso/device' })
    t.equal(tenants.heard.at(-1)?.form.get('client_id'), 'client-contoso')
    let last = await follow()
    await waitUntil(async () => {
      last = await follow()
      return last.body.status !== 'pending'
    })
    t.match(last, { status: 200, body: { status: 'success' } })
    const item = await broker.admin('GET', `${CONFIGS}/${made.id}`)
    t.match(item.body.credential, { state: 'active', next_action: 'none' })

    const put = (inputs: object) => broker.admin('PUT', `${CONFIGS}/${made.id}`, { inputs })
    const [before] = await configRows(t, broker, database)
    t.match(
      (await put({ group: 'g' })).body.credential,
      { state: 'active' },
      'a header of calls leaves the login',
    )
    t.match((await put({ plan: 'paid' })).body.credential, { state: 'missing', next_action: 'login' })
    const [after] = await configRows(t, broker, database)
    t.match(after, { oauth_refresh_token: null, oauth_access_token: null, lease_owner: null, lease_until: 0 })
    t.ok(Number(after?.['oauth_version']) > Number(before?.['oauth_version']))
  },
)

onEachDatabase(t, 'a login that was begun with other inputs ends', async (t, database) => {
  const { broker, tenants, made, logIn } = await setUp(t, database)
  const { follow } = await logIn(made.id)
  await broker.admin('PUT', `${CONFIGS}/${made.id}`, { inputs: { tenant: 'fabrikam' } })
  const asked = tenants.heard.length
  t.match(await follow(), { status: 409, body: { code: 'login_superseded' } })
  t.equal(tenants.heard.length, asked, 'and no code of the one goes to the other')
})

onEachDatabase(t, 'nobody begins a login without the inputs that it needs', async (t, database) => {
  const { broker, made } = await setUp(t, database)
  const url = `${broker.origin}/api/tenants-login/oauth/device-code`
  t.match(await call(url, 'POST', {}), { status: 422, body: { code: 'inputs_required' } })
  t.match(await broker.admin('POST', `${CONFIGS}/nobody/login`), {
    status: 404,
    body: { code: 'config_not_found' },
  })
  t.match(await call(`${broker.origin}${CONFIGS}/${made.id}/login`, 'POST', {}), { status: 401 })
  const key = {
    name: 'k',
    provider: 'tenants-key',
    models: [],
    api_key: 'sk-1',
    inputs: { tenant: 'contoso' },
  }
  const { id } = await create(broker, key)
  const refused = { status: 404, body: { code: 'device_flow_unsupported' } }
  t.match(await broker.admin('POST', `${CONFIGS}/${id}/login`), refused)
})
