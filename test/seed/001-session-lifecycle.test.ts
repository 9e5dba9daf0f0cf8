import type { Test } from 'tap'
import { waitUntil } from '../support/wait-until.ts'
import { sessionsAt, sessionToken, startOpenWebUi } from './open-webui.ts'
import { type Open, requirement } from './requirement.ts'

const DAY = 86_400_000

async function openSession(t: Test, open: Open, daysLeft: number, renewsForDays = 7) {
  const server = await startOpenWebUi(t, renewsForDays)
  const stage = await open({
    config: sessionsAt(server),
  })
  const token = sessionToken(daysLeft)
  const created = await stage.createConfig({ provider: 'open-webui', oauth_token: { access_token: token } })
  const key = await stage.createKey()
  const path = `/api/models/configs/${created.body.id}`
  return {
    server,
    token,
    created,
    call: () => stage.complete(key),
    item: async () => (await stage.broker.admin('GET', path)).body.credential,
    row: () => stage.row(created.body.id),
    logIn: (again: string) => stage.broker.admin('PUT', path, { oauth_token: { access_token: again } }),
  }
}

requirement('Token lifecycle (seed 001)', {
  'with more than 3 days left the token is used as it is': async (t, open) => {
    const { server, token, call, created } = await openSession(t, open, 4)
    t.match(created, { status: 201, body: { credential: { kind: 'session', state: 'active' } } })
    const answer = await call()
    t.equal(answer.status, 200)
    t.equal(answer.body.path, '/api/chat/completions')
    t.same(server.completions, [token])
    t.equal(server.renewals.length, 0)
  },

  'with less than 3 days left it is renewed first, by /v1/auths/ with the present token': async (t, open) => {
    const { server, token, call, item, row } = await openSession(t, open, 2)
    t.equal((await call()).status, 200)
    t.match(server.renewals, [{ token }])
    t.equal(server.completions.length, 1)
    t.not(server.completions[0], token)
    await waitUntil(async () => (await row()).oauth_version === 2)
    const { expires_at, session } = await item()
    t.ok(Math.abs(expires_at - Date.now() - 7 * DAY) < 10_000, 'seconds on the wire, milliseconds here')
    t.equal(session.days_remaining, 7)
    await call()
    t.equal(server.renewals.length, 1, 'once')
  },

  'an expired token is renewed before it is used': async (t, open) => {
    const { server, call } = await openSession(t, open, -1)
    t.equal((await call()).status, 200)
    t.equal(server.renewals.length, 1)
  },

  'token inspection shows user id, issued at, expires at and days remaining': async (t, open) => {
    const { item } = await openSession(t, open, 5)
    const { session, expires_at } = await item()
    t.match(session, { user_id: 'f4506b78-a768-4a55-89ac-c5fb61be7a08', days_remaining: 5, expires_at })
    t.equal(session.issued_at, expires_at - 7 * DAY)
  },

  '401 stops at once and asks for a login': async (t, open) => {
    const { server, call, item, row, logIn } = await openSession(t, open, 2)
    server.mishaps.push({ status: 401, body: '{"detail":"Your session has expired"}' })
    t.match(await call(), {
      status: 401,
      body: { error: { code: 'credential_reauth_required', message: /请重新登录/ } },
    })
    t.equal(server.renewals.length, 1)
    t.match(await item(), { state: 'reauth_required', next_action: 'login' })
    t.equal((await row()).oauth_access_token, null)
    t.equal((await logIn(sessionToken(6))).status, 200)
    t.equal((await call()).status, 200)
  },

  'network errors and 429 are tried three times with growing pauses': async (t, open) => {
    const { server, token, call, item, row } = await openSession(t, open, 2)
    server.mishaps.push('cut', { status: 429, body: '{}' })
    const answer = await call()
    t.equal(answer.status, 200)
    t.same(server.completions, [token], 'the old token serves meanwhile')
    await waitUntil(async () => (await row()).oauth_version === 2)
    const [first, second, third] = server.renewals.map(({ at }) => at)
    const pauses = [Number(second) - Number(first), Number(third) - Number(second)]
    t.ok((pauses[0] ?? 0) >= 1_900 && (pauses[1] ?? 0) >= 3_900, `2 s, then 4 s: ${pauses}`)
    t.equal((await item()).state, 'active')
  },

  'a 200 that says success: false is no renewal': async (t, open) => {
    const { server, token, call, item } = await openSession(t, open, 2)
    for (let i = 0; i < 3; i += 1) server.mishaps.push({ status: 200, body: '{"success":false}' })
    t.equal((await call()).status, 200)
    await waitUntil(async () => (await item()).state === 'cooling_down')
    t.equal((await call()).status, 200)
    t.same([...new Set(server.completions)], [token], 'and nothing is lost')
    t.equal(server.renewals.length, 3)
  },

  'the same token back is no renewal either, and is not asked for again for 24 hours': async (t, open) => {
    const { server, token, call, item, row } = await openSession(t, open, 2, 0)
    t.equal((await call()).status, 200)
    await waitUntil(async () => (await item()).state === 'cooling_down')
    t.equal((await call()).status, 200)
    t.same(server.completions, [token, token])
    t.equal(server.renewals.length, 1)
    const { next_attempt_at, oauth_version, last_error } = await row()
    t.ok(next_attempt_at - Date.now() > 0.9 * DAY)
    t.equal(oauth_version, 1)
    t.match(last_error, /same token/)
  },
})
