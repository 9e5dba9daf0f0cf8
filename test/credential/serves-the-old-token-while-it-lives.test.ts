/**
 * What happens to calls when a refresh is slow, refused for now, or ends in the dark.
 */
import t from 'tap'
import type { Fault } from '../../src/sandbox/faults.ts'
import { onEachDatabase } from '../support/databases.ts'
import { freePort } from '../support/free-port.ts'
import { openScene, type Scene } from './fixtures/refreshing.ts'

/** How long a call took, and with which token it went upstream. */
async function timed({ complete, lastBearer }: Scene) {
  const startedAt = performance.now()
  const { status, headers, body } = await complete()
  return { status, headers, body, ms: performance.now() - startedAt, bearer: lastBearer() }
}

onEachDatabase(
  t,
  'a caller waits wait_seconds for a slow refresh and goes on with the old token',
  async (t, db) => {
    const scene = await openScene(t, db, { provider: '    refresh: { wait_seconds: 1.5 }' })
    scene.broker.sandbox.faults.next('refresh', { delayMs: 6_000 })
    const first = await timed(scene)
    t.equal(first.status, 200)
    t.equal(first.bearer, scene.token.access_token)
    t.ok(first.ms >= 1_490, `${first.ms} ms`)

    const second = await timed(scene)
    t.equal(second.bearer, scene.token.access_token)
    t.ok(second.ms < 1_490, `the wait is over for later callers too: ${second.ms} ms`)

    t.equal((await scene.row()).oauth_version, 2)
    const third = await timed(scene)
    t.not(third.bearer, scene.token.access_token)
    t.equal(scene.broker.sandbox.counts.refreshRequests, 1)
  },
)

onEachDatabase(t, 'with the old token expired a caller waits for a slow refresh to end', async (t, db) => {
  const provider = '    refresh: { wait_seconds: 0.1 }'
  const scene = await openScene(t, db, { provider, expiresInMs: -1 })
  scene.broker.sandbox.faults.next('refresh', { delayMs: 800 })
  const answer = await timed(scene)
  t.equal(answer.status, 200, JSON.stringify(answer))
  t.not(answer.bearer, scene.token.access_token)
  t.ok(answer.ms >= 790)
})

onEachDatabase(
  t,
  'a 429 means back-off: the old token serves, and the refresh is tried again later',
  async (t, db) => {
    const scene = await openScene(t, db)
    const { sandbox } = scene.broker
    sandbox.faults.next('refresh', {
      status: 429,
      body: { error: 'slow_down' },
      headers: { 'retry-after': '90' },
    })
    t.equal((await timed(scene)).bearer, scene.token.access_token)
    t.equal((await timed(scene)).status, 200)
    t.equal(sandbox.counts.refreshRequests, 1, 'nobody asks again before its time')
    const row = await scene.row()
    t.equal(row.oauth_state, 'active')
    const pause = row.next_attempt_at - Date.now()
    t.ok(pause > 80_000 && pause <= 300_000, `Retry-After was 90 s, the pause is ${pause} ms`)
    const item = await scene.broker.admin('GET', `/api/models/configs/${scene.configId}`)
    t.equal(item.body.credential.state, 'cooling_down')

    await scene.setRow({ next_attempt_at: 0 })
    t.not((await timed(scene)).bearer, scene.token.access_token)
    t.match(await scene.row(), { oauth_version: 2, oauth_state: 'active', last_error: null })
  },
)

onEachDatabase(t, 'during back-off an expired token is a 503 that says when to come back', async (t, db) => {
  const scene = await openScene(t, db, { expiresInMs: -1 })
  scene.broker.sandbox.faults.next('refresh', { status: 429, body: { error: 'slow_down' } })
  const answer = await timed(scene)
  t.match(answer, { status: 503, body: { error: { code: 'refresh_unavailable' } } })
  t.match(answer.headers.get('retry-after'), /^[1-9]\d*$/)
  t.equal((await scene.row()).oauth_state, 'active', 'nothing is cleared')
})

const IN_THE_DARK: Record<string, Fault> = {
  'an answer of 503': { status: 503, body: { error: 'temporarily_unavailable' } },
  'an answer of 500 with HTML': { status: 500, body: '<html>Bad Gateway</html>' },
  'a 200 of HTML, as a WAF sends': { status: 200, body: '<html>Please wait</html>' },
  'a 200 without tokens': { status: 200, body: { hello: 'world' } },
  'a 504 of HTML': { status: 504, body: '<html>Gateway Timeout</html>' },
  'half an answer': { halfBody: true },
  'a connection cut before it was handled': { drop: true },
  'a connection cut after it was handled': { afterHandling: 'drop' },
  'no answer within timeout_seconds': { hang: true },
}

onEachDatabase(
  t,
  'a refresh that ends in the dark is uncertain; the old token serves to its end',
  async (t, db) => {
    for (const [what, fault] of Object.entries(IN_THE_DARK)) {
      const scene = await openScene(t, db, {
        provider: '    refresh: { wait_seconds: 10, timeout_seconds: 1 }',
      })
      const { sandbox } = scene.broker
      sandbox.faults.next('refresh', fault)
      const answer = await timed(scene)
      t.match(answer, { status: 200, bearer: scene.token.access_token }, what)
      const row = await scene.row()
      t.equal(row.oauth_state, 'uncertain', what)
      t.ok(row.oauth_refresh_token, 'nothing is cleared')

      await scene.setRow({ next_attempt_at: 0 })
      t.match(await timed(scene), { status: 200, bearer: scene.token.access_token })
      t.equal(sandbox.counts.refreshRequests, 1, 'the refresh token may be spent: it is not risked again')
      await scene.broker.close()
    }
  },
)

onEachDatabase(
  t,
  'once the old token has ended, an uncertain refresh token is tried once more',
  async (t, db) => {
    const scene = await openScene(t, db)
    const { sandbox } = scene.broker
    sandbox.faults.next('refresh', { drop: true })
    await scene.complete()
    t.equal((await scene.row()).oauth_state, 'uncertain')
    await scene.setRow({ next_attempt_at: 0, oauth_expires_at: Date.now() - 1 })
    const answer = await timed(scene)
    t.equal(answer.status, 200)
    t.not(answer.bearer, scene.token.access_token)
    t.match(await scene.row(), { oauth_state: 'active', oauth_version: 2 })
    t.match(sandbox.counts, { refreshRequests: 2, refreshGrants: 1, reusesDetected: 0 })
  },
)

onEachDatabase(t, 'if it was spent after all, that last try asks for a login', async (t, db) => {
  const scene = await openScene(t, db)
  scene.broker.sandbox.faults.next('refresh', { afterHandling: 'drop' })
  await scene.complete()
  await scene.setRow({ next_attempt_at: 0, oauth_expires_at: Date.now() - 1 })
  t.match(await scene.complete(), { status: 401, body: { error: { code: 'credential_reauth_required' } } })
  t.equal((await scene.row()).oauth_state, 'reauth_required')
})

onEachDatabase(t, 'a server that cannot be reached is back-off, not uncertainty', async (t, db) => {
  const scene = await openScene(t, db, {
    provider: `    authorization_server: { token_endpoint: 'http://127.0.0.1:${await freePort()}/' }`,
    token: () => ({ access_token: 'handed-over-by-somebody', refresh_token: 'likewise' }),
  })
  await scene.complete()
  t.match(await scene.row(), { oauth_state: 'active', last_error: 'ECONNREFUSED' })
})
