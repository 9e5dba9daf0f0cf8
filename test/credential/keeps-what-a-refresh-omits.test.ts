import t from 'tap'
import { onEachDatabase } from '../support/databases.ts'
import { openScene } from './fixtures/refreshing.ts'

onEachDatabase(
  t,
  'a refresh without refresh_token, scope or resource_url keeps the old ones',
  async (t, db) => {
    const scene = await openScene(t, db, {
      provider: "    upstream: { resource_hosts: ['{host}'], base_url: 'https://nowhere.invalid/v1' }",
      token: ({ sandbox }) => ({ resource_url: sandbox.origin, scope: 'openid' }),
    })
    const { broker, configId, setRow, row, complete, token } = scene
    const path = `/api/models/configs/${configId}`
    const before = (await broker.admin('GET', path)).body.credential
    const accessTokenAlone = { access_token: token.access_token, expires_in: 60 }
    broker.sandbox.faults.next('refresh', { status: 200, body: accessTokenAlone })
    t.equal((await complete()).status, 200, 'the resource_url is where it went')
    t.match(await row(), { oauth_version: 2, oauth_token_type: 'Bearer', oauth_scope: 'openid' })
    const { resource_url, fingerprint } = before
    t.equal(resource_url, broker.sandbox.origin)
    t.match((await broker.admin('GET', path)).body.credential, { resource_url, fingerprint, scope: 'openid' })

    await setRow({ oauth_expires_at: Date.now() - 1 })
    t.equal((await complete()).status, 200, 'the kept refresh token is good')
    t.match(broker.sandbox.counts, { refreshGrants: 1, reusesDetected: 0 })
    t.match(JSON.stringify((await row()).oauth_metadata), /127\.0\.0\.1/)
  },
)

onEachDatabase(t, 'what a refresh does say replaces the old', async (t, db) => {
  const { row, complete, token, broker } = await openScene(t, db, {
    token: () => ({ scope: 'openid' }),
  })
  const before = await row()
  t.equal((await complete()).status, 200)
  const after = await row()
  t.not(after.oauth_access_token, before.oauth_access_token)
  t.not(after.oauth_refresh_token, before.oauth_refresh_token)
  t.equal(after.oauth_scope, 'openid model.completion')
  t.ok(Number(after.oauth_expires_at) > token.expires_at)
  const age = Date.now() - Number(after.oauth_refreshed_at)
  t.ok(age >= -1_000 && age < 5_000)
  t.equal(broker.sandbox.counts.refreshGrants, 1)
})

onEachDatabase(t, 'a refresh does not move updated_at, the lock of open forms', async (t, db) => {
  const { broker, configId, complete, row } = await openScene(t, db)
  const path = `/api/models/configs/${configId}`
  const { updated_at } = (await broker.admin('GET', path)).body
  await complete()
  t.match(await row(), { oauth_version: 2, updated_at })
  t.equal((await broker.admin('PUT', path, { name: 'renamed', updated_at })).status, 200)
  t.equal((await broker.admin('PUT', path, { name: 'again', updated_at })).status, 409)
})
