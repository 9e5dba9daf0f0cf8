import { FernetKey } from '../../src/vault/fernet.ts'
import { waitUntil } from '../support/wait-until.ts'
import { type Open, requirement } from './requirement.ts'
import { ENCRYPTION_KEY, NO_LOGIN } from './stage.ts'

const key = new FernetKey(ENCRYPTION_KEY)

/** A config whose token seems to end in so many seconds. */
async function openWithLifeOf(seconds: number, open: Open) {
  const stage = await open()
  const { token } = await stage.logIn()
  const oauth_token = { ...token, expires_at: Date.now() + seconds * 1000 }
  const { id } = (await stage.createConfig({ oauth_token })).body
  const apiKey = await stage.createKey()
  return { ...stage, id, token, before: await stage.row(id), call: () => stage.complete(apiKey) }
}

requirement('Token 刷新', {
  '检测到 token 接近过期': async (t, open) => {
    const fresh = await openWithLifeOf(400, open)
    t.equal((await fresh.call()).status, 200)
    t.equal(fresh.broker.sandbox.counts.refreshRequests, 0, 'more than 5 minutes: not yet')
    await fresh.broker.admin('DELETE', `/api/models/configs/${fresh.id}`)

    const due = await openWithLifeOf(295, open)
    const { sandbox } = due.broker
    t.equal((await due.call()).status, 200)
    t.equal(sandbox.counts.refreshGrants, 1)
    await waitUntil(async () => (await due.row(due.id)).oauth_version === 2)
    const after = await due.row(due.id)
    const accessToken = key.decrypt(after.oauth_access_token ?? '')
    t.not(accessToken, due.token.access_token)
    t.equal(sandbox.counts.lastUpstreamRequest?.headers.authorization, `Bearer ${accessToken}`)
    t.not(key.decrypt(after.oauth_refresh_token ?? ''), due.token.refresh_token, 'rotated')
    const lifetime = Number(after.oauth_expires_at) - Date.now()
    t.ok(lifetime > 50_000 && lifetime < 61_000, 'the new expiry')
    t.equal(after.updated_at, due.before.updated_at)
  },

  'Refresh token 过期': async (t, open) => {
    // The standard's word for it, and Qwen's, which the shipped provider file knows.
    for (const error of ['invalid_grant', 'invalid_request']) {
      const { broker, id, call, row, logIn } = await openWithLifeOf(60, open)
      broker.sandbox.faults.next('refresh', { status: 400, body: { error } })
      const answer = await call()
      t.equal(answer.status, 401)
      t.match(answer.body.error, { code: 'credential_reauth_required', message: /请重新登录/ })
      t.match(await row(id), NO_LOGIN)
      const { session_id } = await logIn()
      const path = `/api/models/configs/${id}`
      t.equal((await broker.admin('PUT', path, { oauth_session_id: session_id })).status, 200)
      t.equal((await call()).status, 200, 'and after a login it goes on')
      await broker.admin('DELETE', path)
    }
  },
})
