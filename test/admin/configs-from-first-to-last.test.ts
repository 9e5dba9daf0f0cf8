import t from 'tap'
import { onEachDatabase } from '../support/databases.ts'
import { CONFIGS, create, keyConfig, OAUTH_TOKEN, oauthConfig, start } from './fixtures/management.ts'
import { configRows } from './fixtures/rows.ts'

onEachDatabase(t, 'a config with an API key is made, read, changed and deleted', async (t, database) => {
  const broker = await start(t, database)
  const before = Date.now()
  const made = await broker.admin(
    'POST',
    CONFIGS,
    keyConfig('first', { models: [{ model_id: 'a', support_vision: true }] }),
  )
  t.equal(made.status, 201)
  t.equal(made.headers.get('cache-control'), 'no-store')
  const { id, created_at, updated_at, credential, ...rest } = made.body
  t.match(id, /^[0-9a-f-]{36}$/)
  t.ok(created_at >= before - 1_000 && created_at <= Date.now() + 1_000)
  t.equal(updated_at, created_at)
  t.same(rest, {
    name: 'first',
    provider: 'openai',
    base_url: 'https://models.example/v1',
    models: [{ model_id: 'a', support_vision: true, support_thinking: false }],
    is_active: true,
    external_id: null,
  })
  t.match(credential, {
    kind: 'api_key',
    state: 'active',
    expires_at: null,
    next_action: 'none',
    resource_url: null,
  })
  t.same((await broker.admin('GET', `${CONFIGS}/${id}`)).body, made.body)

  const changed = await broker.admin('PUT', `${CONFIGS}/${id}`, {
    name: 'renamed',
    models: [],
    is_active: false,
  })
  t.equal(changed.status, 200)
  t.match(changed.body, {
    id,
    name: 'renamed',
    models: [],
    is_active: false,
    base_url: rest.base_url,
    created_at,
  })
  t.ok(changed.body.updated_at > updated_at)

  const on = await broker.admin('PATCH', `${CONFIGS}/${id}/status?is_active=true`)
  t.match(on, { status: 200, body: { is_active: true, name: 'renamed' } })

  t.equal((await broker.admin('DELETE', `${CONFIGS}/${id}`)).status, 204)
  for (const [method, path, body] of [
    ['GET', `${CONFIGS}/${id}`],
    ['PUT', `${CONFIGS}/${id}`, { name: 'x' }],
    ['PATCH', `${CONFIGS}/${id}/status?is_active=true`],
    ['DELETE', `${CONFIGS}/${id}`],
    ['POST', `${CONFIGS}/${id}/refresh`],
  ] as const) {
    const gone = await broker.admin(method, path, body)
    t.match(
      gone,
      { status: 404, body: { code: 'config_not_found', detail: /不存在/, message: /no such/ } },
      method,
    )
  }
  t.same((await broker.admin('GET', CONFIGS)).body, { total: 0, page: 1, page_size: 20, items: [] })
})

onEachDatabase(
  t,
  'an OAuth config stores its tokens sealed, and neither base URL nor API key',
  async (t, database) => {
    const broker = await start(t, database)
    const given = { base_url: 'https://ignored.example/v1', api_key: 'sk-ignored' }
    const item = await create(broker, oauthConfig('oauth', given))
    t.equal(item.base_url, '')
    t.match(item.credential, {
      kind: 'device_code',
      state: 'active',
      expires_at: OAUTH_TOKEN.expires_at,
      scope: OAUTH_TOKEN.scope,
      resource_url: 'portal.qwen.ai',
      next_action: 'none',
      fingerprint: /^[0-9a-f]{16}$/,
    })
    const [row] = await configRows(t, broker, database)
    t.match(row, {
      base_url: '',
      api_key: '',
      oauth_token_type: 'Bearer',
      oauth_scope: OAUTH_TOKEN.scope,
      oauth_expires_at: OAUTH_TOKEN.expires_at,
      oauth_access_token: /^gAAAA/,
      oauth_refresh_token: /^gAAAA/,
    })
    t.same(row?.metadata, { resource_url: 'portal.qwen.ai' })

    await broker.admin('PUT', `${CONFIGS}/${item.id}`, given)
    t.match((await configRows(t, broker, database))[0], { base_url: '', api_key: '' }, 'also after a change')

    await broker.admin('DELETE', `${CONFIGS}/${item.id}`)
    const [deleted] = await configRows(t, broker, database)
    t.match(
      deleted,
      { name: 'oauth', active_name: null, api_key: '', is_active: 0 },
      'the row is kept for the books',
    )
    t.ok(Number(deleted?.['deleted_at']) > 0)
    for (const column of ['access_token', 'refresh_token', 'token_type', 'scope', 'expires_at', 'metadata']) {
      t.equal(deleted?.[`oauth_${column}`], null, column)
    }
  },
)

onEachDatabase(
  t,
  'an OAuth config without a login asks for one, and a login mends it',
  async (t, database) => {
    const broker = await start(t, database)
    const item = await create(broker, oauthConfig('later', { oauth_token: null }))
    t.match(item.credential, { state: 'missing', next_action: 'login', expires_at: null, fingerprint: null })
    const refreshed = await broker.admin('POST', `${CONFIGS}/${item.id}/refresh`)
    t.match(refreshed, { status: 401, body: { code: 'credential_reauth_required', detail: /重新登录/ } })
    const relogin = await broker.admin('PUT', `${CONFIGS}/${item.id}`, { oauth_token: OAUTH_TOKEN })
    t.match(relogin, { status: 200, body: { credential: { state: 'active', next_action: 'none' } } })
  },
)

onEachDatabase(t, 'an API key is kept when a change does not bring one', async (t, database) => {
  const broker = await start(t, database)
  const { id } = await create(broker, keyConfig('first'))
  const [before] = await configRows(t, broker, database)
  for (const body of [{}, { name: 'second' }, { api_key: '' }, { models: [] }]) {
    t.equal((await broker.admin('PUT', `${CONFIGS}/${id}`, body)).status, 200)
  }
  t.equal((await configRows(t, broker, database))[0]?.['api_key'], before?.['api_key'])
  await broker.admin('PUT', `${CONFIGS}/${id}`, { api_key: 'sk-another' })
  const [after] = await configRows(t, broker, database)
  t.not(after?.['api_key'], before?.['api_key'])
  t.match(after?.['api_key'], /^gAAAA/)
})

onEachDatabase(t, 'the largest config that the form allows can be stored', async (t, database) => {
  const broker = await start(t, database)
  const models = Array.from({ length: 500 }, (_, index) => ({ model_id: `${'模'.repeat(250)}${index}` }))
  const aliases = Object.fromEntries(models.slice(0, 200).map(({ model_id }) => [`别${model_id}`, model_id]))
  const made = await broker.admin(
    'POST',
    CONFIGS,
    keyConfig('🔑'.repeat(255), { models, aliases, api_key: 'k'.repeat(8_192) }),
  )
  t.equal(made.status, 201, made.body.message)
  const read = await broker.admin('GET', `${CONFIGS}/${made.body.id}`)
  t.equal(read.body.models?.length, 500)
  t.equal(read.body.models?.[499]?.model_id, models[499]?.model_id)
  const key = await broker.admin('POST', '/api/keys', {
    name: 'k',
    models: models.map((model) => model.model_id),
  })
  t.equal(key.status, 201, key.body.message)
})
