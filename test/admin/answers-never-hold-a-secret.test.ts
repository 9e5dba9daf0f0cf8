import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { call, login } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { CONFIGS, create, KEYS, keyConfig, OAUTH_TOKEN, oauthConfig, start } from './fixtures/management.ts'
import { configRows } from './fixtures/rows.ts'

const CANARIES = [
  'sk-upstream-canary-0123456789',
  'sk-other-canary-0123456789',
  'rt-canary-0123456789',
  'at-canary-0123456789',
]

onEachDatabase(t, 'neither tokens nor keys, in no answer, log line or byte on disk', async (t, database) => {
  const broker = await start(t, database)
  const answers: unknown[] = []
  const ask = async (method: string, path: string, body?: unknown) => {
    const answer = await broker.admin(method, path, body)
    answers.push(answer.body, [...answer.headers])
    return answer.body
  }
  const made = await ask('POST', CONFIGS, keyConfig('first'))
  const oauth = await ask('POST', CONFIGS, oauthConfig('second'))
  for (const { id } of [made, oauth]) {
    await ask('GET', `${CONFIGS}/${id}`)
    await ask('PUT', `${CONFIGS}/${id}`, { name: `${id} again` })
    await ask('PUT', `${CONFIGS}/${id}`, { name: 'x', updated_at: 1 })
    await ask('PATCH', `${CONFIGS}/${id}/status?is_active=false`)
  }
  await ask('PUT', `${CONFIGS}/${made.id}`, { api_key: 'sk-other-canary-0123456789' })
  await ask('PUT', `${CONFIGS}/${oauth.id}`, { oauth_token: OAUTH_TOKEN })
  await ask('GET', CONFIGS)
  // what is refused is not quoted
  await ask('POST', CONFIGS, keyConfig('first', { api_key: 'sk-other-canary-0123456789 ' }))
  await ask('POST', CONFIGS, keyConfig('', { api_key: 'sk-other-canary-0123456789' }))
  await ask('POST', CONFIGS, oauthConfig('x', { oauth_token: { ...OAUTH_TOKEN, resource_url: 'evil.com' } }))
  await ask(
    'POST',
    CONFIGS,
    oauthConfig('x', { oauth_token: { ...OAUTH_TOKEN, access_token: 'at-canary-0123456789 ' } }),
  )
  await ask('POST', CONFIGS, `{"api_key":"sk-other-canary-0123456789"`)
  const key = await ask('POST', KEYS, { name: 'k' })
  answers.splice(-2) // the one answer that shows a key
  await ask('GET', KEYS)
  await ask('GET', '/metrics')

  const [row] = await configRows(t, broker, database)
  const sealed = String(row?.['api_key'])
  const secrets = [...CANARIES, key.key, key.key.slice(12), broker.adminToken, sealed.slice(0, 40)]
  const said = JSON.stringify(answers)
  for (const secret of secrets) t.notOk(said.includes(secret), `${secret.slice(0, 10)}… in an answer`)
  const logged = broker.log.join('')
  for (const secret of secrets) t.notOk(logged.includes(secret), `${secret.slice(0, 10)}… in the log`)
  t.ok(logged.includes('/api/models/configs/:id'), 'routes are logged, not what was asked of them')
  for (const file of readdirSync(broker.dataDir)) {
    const bytes = readFileSync(join(broker.dataDir, file))
    for (const secret of [...CANARIES, key.key.slice(12)]) t.equal(bytes.indexOf(secret), -1, file)
  }
})

onEachDatabase(
  t,
  'tokens of a login go from its session to the config without being shown',
  async (t, database) => {
    const broker = await start(t, database)
    const sessionId = await login(broker)
    const status = `${broker.origin}/api/sandbox/oauth/status?session_id=${sessionId}`
    const { token } = (await call(status, 'GET')).body
    const item = await create(broker, {
      name: 'by session',
      provider: 'sandbox',
      models: [],
      oauth_session_id: sessionId,
    })
    t.match(item.credential, { state: 'active', expires_at: token.expires_at })
    for (const secret of [token.access_token, token.refresh_token]) {
      t.notOk(JSON.stringify(item).includes(secret))
      t.notOk(broker.log.join('').includes(secret))
    }
    t.match(
      await call(status, 'GET'),
      { status: 404, body: { code: 'session_not_found' } },
      'the session is over',
    )
    const twice = await broker.admin('POST', CONFIGS, {
      name: 'again',
      provider: 'sandbox',
      models: [],
      oauth_session_id: sessionId,
    })
    t.match(twice, { status: 404, body: { code: 'session_not_found' } }, 'and binds only once')
  },
)
