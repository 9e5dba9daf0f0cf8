import t, { type Test } from 'tap'
import { type Broker, startBroker } from '../support/broker.ts'
import { onEachDatabase, onMysql, type TestDatabase } from '../support/databases.ts'
import { CONFIGS, create } from './fixtures/management.ts'
import { configRows } from './fixtures/rows.ts'
import { secretOf, startTenants, type Tenants, tenantProviders } from './fixtures/tenants.ts'

async function setUp(t: Test, { url }: TestDatabase, env: Record<string, string> = {}) {
  const tenants = await startTenants(t)
  const config = tenantProviders(tenants.origin)
  const broker = await startBroker(t, { databaseUrl: url, config, env })
  return { tenants, broker }
}

const INPUTS = { tenant: 'contoso', client_secret: secretOf('contoso') }
const NEW = { name: 'one', provider: 'tenants', models: [{ model_id: 'm' }], inputs: INPUTS }

/** What a model call is answered, and by which tenant. */
async function complete(broker: Broker, id: string): Promise<unknown> {
  const made = await broker.admin('POST', '/api/keys', { name: crypto.randomUUID(), model_config_ids: [id] })
  const answer = await fetch(`${broker.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${made.body.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', messages: [] }),
  })
  const body = (await answer.json()) as {
    choices?: [{ message: { content: string } }]
    error?: { code: string }
  }
  return body.choices?.[0].message.content ?? `${answer.status} ${body.error?.code}`
}

function lastCall({ heard }: Tenants, end: string) {
  return heard.findLast(({ url }) => url.endsWith(end))
}

onEachDatabase(t, 'a form is made from the fields of a file', async (t, database) => {
  const { broker } = await setUp(t, database, { TENANT_SECRET: 'a-default-nobody-may-see' })
  const { body } = await broker.admin('GET', '/api/providers')
  const item = body.items.find(({ name }: { name: string }) => name === 'tenants')
  t.match(item, { label: 'tenants', label_zh: 'tenants' })
  t.match(item.inputs, [
    {
      name: 'tenant',
      label: 'Tenant',
      label_zh: '租户',
      example: 'contoso',
      pattern: '^[a-z0-9]{2,20}$',
      required: true,
      has_default: false,
      secret: false,
      type: 'text',
    },
    { name: 'client_secret', secret: true, has_default: true, default: null },
    { name: 'group', required: false, has_default: false },
    { name: 'plan', choices: ['free', 'paid'], has_default: true, default: 'free' },
  ])
  t.notMatch(JSON.stringify(body), /a-default-nobody-may-see/)
  const plain = body.items.find(({ name }: { name: string }) => name === 'openai')
  t.same(plain.inputs, [])
})

onEachDatabase(t, 'what is wrong with an input is 422 and names it', async (t, database) => {
  const { broker } = await setUp(t, database)
  const refused: [inputs: object | undefined, message: RegExp][] = [
    [undefined, /^inputs\.tenant is needed/],
    [{}, /^inputs\.tenant is needed/],
    [{ tenant: 'contoso' }, /^inputs\.client_secret is needed/],
    [{ ...INPUTS, tenant: '../x' }, /^inputs\.tenant does not look as it should, such as contoso/],
    [{ ...INPUTS, tenant: null }, /^inputs\.tenant is needed/],
    [{ ...INPUTS, plan: 'gold' }, /^inputs\.plan must be one of free, paid/],
    [{ ...INPUTS, group: 'é' }, /^inputs\.group goes into a header/],
    [
      { ...INPUTS, nothing: 'x' },
      /^inputs\.nothing is unknown; there are tenant, client_secret, group, plan/,
    ],
    [{ ...INPUTS, constructor: 'x' }, /^inputs\.constructor is unknown/],
  ]
  for (const [inputs, message] of refused) {
    const answer = await broker.admin('POST', CONFIGS, { ...NEW, inputs })
    t.match(answer, {
      status: 422,
      body: { code: 'invalid_request', message: new RegExp(message.source.replace('^', '')) },
    })
    t.notMatch(JSON.stringify(answer.body), /secret-of-client/, 'nothing is quoted')
  }
  const other = await broker.admin('POST', CONFIGS, {
    name: 'x',
    provider: 'openai',
    api_key: 'sk-1',
    models: [],
    inputs: { a: 'b' },
  })
  t.match(other, { status: 422, body: { message: /inputs\.a is unknown: this provider has no inputs/ } })
  for (const inputs of [{ A: 'b' }, { tenant: 5 }, 'x', { tenant: 'x'.repeat(70_000) }])
    t.match(await broker.admin('POST', CONFIGS, { ...NEW, inputs }), { status: 422 })
})

onEachDatabase(t, 'an account goes where its inputs say, and changes with them', async (t, database) => {
  const { broker, tenants } = await setUp(t, database)
  const { id, inputs, updated_at, credential } = await create(broker, NEW)
  t.match(inputs, { tenant: 'contoso', client_secret: { set: true, fingerprint: /^[0-9a-f]{8}$/ } })
  t.equal(credential.state, 'active')
  t.equal(await complete(broker, id), 'contoso')
  t.equal(lastCall(tenants, '/token')?.url, '/contoso/token')
  t.equal(lastCall(tenants, '/token')?.form.get('scope'), 'models.free')
  t.notOk('x-group' in (lastCall(tenants, '/completions')?.headers ?? {}), 'a header without its input')

  const put = (body: object) => broker.admin('PUT', `${CONFIGS}/${id}`, body)
  t.match(await put({ name: 'uno' }), { status: 200, body: { inputs } }, 'what is left out stays')
  t.match(await put({ inputs: { tenant: 'fabrikam' }, updated_at }), {
    status: 409,
    body: { code: 'stale_update' },
  })
  t.match(await put({ inputs: { tenant: null } }), {
    status: 422,
    body: { message: /inputs\.tenant is needed/ },
  })

  const before = (await configRows(t, broker, database))[0]
  t.equal((await put({ inputs: { tenant: 'contoso' } })).status, 200)
  const same = (await configRows(t, broker, database))[0]
  t.equal(same?.['oauth_version'], before?.['oauth_version'], 'what is as it was changes nothing')
  t.equal(same?.['oauth_access_token'], before?.['oauth_access_token'])

  const changed = await put({
    inputs: { tenant: 'fabrikam', client_secret: secretOf('fabrikam'), group: 'g' },
  })
  t.match(changed.body.inputs, { tenant: 'fabrikam', group: 'g', client_secret: { set: true } })
  t.not(changed.body.inputs.client_secret.fingerprint, inputs.client_secret.fingerprint)
  const after = (await configRows(t, broker, database))[0]
  t.match(after, {
    oauth_access_token: null,
    oauth_state: 'active',
    lease_owner: null,
    lease_until: 0,
    attempt_id: null,
  })
  t.ok(Number(after?.['oauth_version']) > Number(before?.['oauth_version']))
  t.equal(await complete(broker, id), 'fabrikam')
  t.equal(lastCall(tenants, '/completions')?.headers['x-group'], 'g')

  t.same((await put({ inputs: { group: null } })).body.inputs.group, undefined)
  t.equal(await complete(broker, id), 'fabrikam')
  t.notOk('x-group' in (lastCall(tenants, '/completions')?.headers ?? {}))

  const { body } = await broker.admin('GET', '/api/audit?page_size=50')
  const told = JSON.stringify(body)
  t.match(told, /"inputs\.tenant","inputs\.client_secret","inputs\.group"/)
  t.notMatch(told, /fabrikam|contoso|secret-of/, 'which were changed, and none of their values')
})

onEachDatabase(t, 'a secret is stored sealed, with its row', async (t, database) => {
  const { broker } = await setUp(t, database)
  const { id } = await create(broker, NEW)
  const [row] = await configRows(t, broker, database)
  t.equal(row?.['inputs'], '{"tenant":"contoso"}')
  t.match(row?.['inputs_sealed'], /^gAAAA/)
  await broker.admin('DELETE', `${CONFIGS}/${id}`)
  const [gone] = await configRows(t, broker, database)
  t.match(gone, { inputs: null, inputs_sealed: null }, 'a deleted one keeps neither')
})

onMysql(t, 'without a value that it needs an account is missing, and says so', async (t, { url }) => {
  const tenants = await startTenants(t)
  const config = tenantProviders(tenants.origin)
  const env = { TENANT_SECRET: secretOf('contoso') }
  const first = await startBroker(t, { databaseUrl: url, config, env })
  const { id } = await create(first, { ...NEW, inputs: { tenant: 'contoso' } })
  t.equal(await complete(first, id), 'contoso', 'the default of the environment counts')
  await first.close()

  const broker = await startBroker(t, { databaseUrl: url, config })
  const { body } = await broker.admin('GET', `${CONFIGS}/${id}`)
  t.match(body.credential, {
    state: 'missing',
    next_action: 'edit_inputs',
    reason: /inputs\.client_secret is needed/,
  })
  const asked = tenants.heard.length
  t.equal(await complete(broker, id), '401 credential_reauth_required')
  t.match(await broker.admin('POST', `${CONFIGS}/${id}/refresh`), { status: 401 })
  t.equal(tenants.heard.length, asked, 'nobody is asked anything')
  t.equal((await broker.admin('PUT', `${CONFIGS}/${id}`, { name: 'still' })).status, 200, 'it can be renamed')
  const inputs = { client_secret: secretOf('contoso') }
  const mended = await broker.admin('PUT', `${CONFIGS}/${id}`, { inputs })
  t.match(mended.body.credential, { state: 'active', next_action: 'none' })
  t.equal(await complete(broker, id), 'contoso')
})

onEachDatabase(t, 'what is stored follows to no new host', async (t, { url }) => {
  const inputs = {
    place: { type: 'host', any_host: true },
    secret: { secret: true },
    note: { required: false },
  }
  const config = `providers: ${JSON.stringify({
    anywhere: {
      credential: 'client_credentials',
      inputs,
      authorization_server: {
        token_endpoint: 'https://{place}/token',
        client_id: 'c',
        client_secret: '{secret}',
      },
      upstream: { base_url: 'https://{place}/v1', headers: { 'x-note': '{note}' } },
    },
    keyed: {
      credential: 'api_key',
      inputs: { place: inputs.place },
      upstream: { base_url: 'https://{place}/v1' },
    },
  })}`
  const broker = await startBroker(t, { databaseUrl: url, config })
  const one = { place: 'one.example', secret: 'secret-of-the-first-0123456789' }
  const { id } = await create(broker, { name: 'a', provider: 'anywhere', models: [], inputs: one })
  const put = (of: string, body: object) => broker.admin('PUT', `${CONFIGS}/${of}`, body)
  const refused = { status: 422, body: { message: /inputs\.secret is needed again/ } }
  t.match(await put(id, { inputs: { place: 'two.example' } }), refused)
  t.match(await put(id, { inputs: { place: 'two.example', note: 'x' } }), refused)
  t.equal((await put(id, { inputs: { note: 'x' } })).status, 200)
  const moved = { place: 'two.example', secret: 'secret-of-the-second-0123456789' }
  t.match(await put(id, { inputs: moved }), { status: 200, body: { inputs: { place: 'two.example' } } })

  const key = {
    name: 'k',
    provider: 'keyed',
    models: [],
    api_key: 'sk-of-the-first-0123456789',
    inputs: { place: 'one.example' },
  }
  const keyed = await create(broker, key)
  t.equal(keyed.credential.state, 'active')
  const elsewhere = { inputs: { place: 'two.example' } }
  t.match(await put(keyed.id, elsewhere), { status: 422, body: { message: /api_key is needed again/ } })
  t.match(await put(keyed.id, { ...elsewhere, base_url: 'https://one.example/v1' }), { status: 200 })
  t.match(await put(keyed.id, { base_url: '' }), {
    status: 422,
    body: { message: /api_key is needed again/ },
  })
  t.equal((await put(keyed.id, { base_url: '', api_key: 'sk-of-the-second-0123456789' })).status, 200)
})
