import t, { type Test } from 'tap'
import { fingerprint } from '../../src/credential/credential.ts'
import type { Fault } from '../../src/sandbox/faults.ts'
import { onEachDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { logIn, openScene, type Scene } from './fixtures/refreshing.ts'

const QWEN_DIALECT = '    errors: { invalid_grant: [invalid_request] }\n    refresh: { wait_seconds: 10 }'
const QWEN_WORDS = { error: 'invalid_request', error_description: 'Invalid refresh token or client_id' }

const EMPTY = {
  oauth_access_token: null,
  oauth_refresh_token: null,
  oauth_token_type: null,
  oauth_scope: null,
  oauth_expires_at: null,
  oauth_refreshed_at: null,
  oauth_metadata: null,
  oauth_state: 'reauth_required',
}

async function isCleared(t: Test, scene: Scene): Promise<void> {
  const answer = await scene.complete()
  t.match(answer, { status: 401, body: { error: { code: 'credential_reauth_required' } } })
  t.match(answer.body.error.message, /认证失败，请重新登录/)
  t.equal(answer.headers.get('x-should-retry'), 'false')
  t.match(await scene.row(), EMPTY)
  const item = await scene.broker.admin('GET', `/api/models/configs/${scene.configId}`)
  t.match(item.body.credential, { state: 'reauth_required', next_action: 'login', fingerprint: null })

  const { refreshRequests } = scene.broker.sandbox.counts
  t.equal((await scene.complete()).status, 401)
  t.equal(scene.broker.sandbox.counts.refreshRequests, refreshRequests, 'a dead token is not tried again')
}

onEachDatabase(t, 'invalid_grant empties the row and asks for a login', async (t, db) => {
  const scene = await openScene(t, db)
  await scene.broker.sandbox.revokeFamilies()
  await isCleared(t, scene)
  t.equal(scene.broker.sandbox.counts.refreshRequests, 1)
})

onEachDatabase(
  t,
  "Qwen's word for it counts where the provider file says so, at 400, 401 and 200",
  async (t, db) => {
    for (const status of [400, 401, 200]) {
      const scene = await openScene(t, db, { provider: QWEN_DIALECT })
      scene.broker.sandbox.faults.next('refresh', { status, body: QWEN_WORDS })
      await isCleared(t, scene)
      await scene.broker.close()
    }
  },
)

const NO_REASON_TO_CLEAR: Record<string, Fault> = {
  'a word that is not in the dialect': { status: 400, body: QWEN_WORDS },
  'invalid_grant at 500': { status: 500, body: { error: 'invalid_grant' } },
  'invalid_grant at 429': { status: 429, body: { error: 'invalid_grant' } },
  invalid_client: { status: 401, body: { error: 'invalid_client' } },
  'a 401 of HTML': { status: 401, body: '<html>invalid_grant</html>' },
  'a 403': { status: 403, body: { error: 'access_denied' } },
}

onEachDatabase(t, 'nothing else clears a credential', async (t, db) => {
  for (const [what, fault] of Object.entries(NO_REASON_TO_CLEAR)) {
    const scene = await openScene(t, db)
    const before = await scene.row()
    scene.broker.sandbox.faults.next('refresh', fault)
    t.equal((await scene.complete()).status, 200, what)
    const { oauth_access_token, oauth_refresh_token, oauth_expires_at, oauth_version } = before
    t.match(
      await scene.row(),
      { oauth_access_token, oauth_refresh_token, oauth_expires_at, oauth_version },
      what,
    )
    await scene.broker.close()
  }
})

/** A new login by PUT while a refresh of the old one is on its way. */
async function logInDuringRefresh(scene: Scene, fault: Fault) {
  const { broker, configId, complete } = scene
  broker.sandbox.faults.next('refresh', { ...fault, delayMs: 1_000 })
  const call = complete()
  await waitUntil(() => broker.sandbox.counts.refreshRequests === 1)
  const token = { ...(await logIn(broker)), expires_at: Date.now() + 3_600_000 }
  const put = await broker.admin('PUT', `/api/models/configs/${configId}`, { oauth_token: token })
  return { token, put, answer: await call }
}

onEachDatabase(t, 'a new login wins over a refresh of the old one that is under way', async (t, db) => {
  for (const fault of [{}, { status: 400, body: { error: 'invalid_grant' } }] as Fault[]) {
    const scene = await openScene(t, db)
    const { token, put, answer } = await logInDuringRefresh(scene, fault)
    t.equal(put.status, 200)
    t.equal(answer.status, 200, JSON.stringify(answer.body))
    await waitUntil(() => scene.broker.log.some((line) => line.includes('"msg":"refresh"')))
    t.match(await scene.row(), {
      oauth_state: 'active',
      oauth_version: 2,
      oauth_expires_at: token.expires_at,
    })
    const item = await scene.broker.admin('GET', `/api/models/configs/${scene.configId}`)
    t.equal(item.body.credential.fingerprint, fingerprint(token.refresh_token).slice(0, 16))
    t.equal((await scene.complete()).status, 200)
    t.equal(scene.lastBearer(), token.access_token)
    await scene.broker.close()
  }
})

onEachDatabase(t, 'a login after the clearing makes the same config and key work again', async (t, db) => {
  const scene = await openScene(t, db)
  await scene.broker.sandbox.revokeFamilies()
  t.equal((await scene.complete()).status, 401)
  const oauth_token = await logIn(scene.broker)
  const path = `/api/models/configs/${scene.configId}`
  t.equal((await scene.broker.admin('PUT', path, { oauth_token })).body.credential.state, 'active')
  t.equal((await scene.complete()).status, 200)
})
