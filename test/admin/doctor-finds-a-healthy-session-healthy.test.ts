/** A web session whose server serves no completions, as chat.qwen.ai does not. */
import t, { type Test } from 'tap'
import { sessionsAt, sessionToken, startOpenWebUi } from '../seed/open-webui.ts'
import { startBroker } from '../support/broker.ts'
import { waitUntil } from '../support/wait-until.ts'

const USER = 'f4506b78-a768-4a55-89ac-c5fb61be7a08'

async function holdSession(t: Test, daysLeft: number, renewsForDays: number) {
  const server = await startOpenWebUi(t, renewsForDays)
  const broker = await startBroker(t, {
    config: sessionsAt(server),
  })
  const token = sessionToken(daysLeft)
  const config = { name: 'web', provider: 'qwen-chat', models: [], oauth_token: { access_token: token } }
  const path = `/api/models/configs/${(await broker.admin('POST', '/api/models/configs', config)).body.id}`
  return {
    broker,
    server,
    token,
    item: async () => (await broker.admin('GET', path)).body.credential,
    refresh: () => broker.admin('POST', `${path}/refresh`),
    diagnose: async () => (await broker.admin('POST', `${path}/diagnose`)).body,
    events: async () =>
      (await broker.admin('GET', '/api/audit?type=credential')).body.items.map(
        ({ type }: { type: string }) => type,
      ),
  }
}

t.test('one that is extended: whose it is, since when, for how long, and that it goes on', async (t) => {
  const { diagnose, server, item, broker } = await holdSession(t, 5, 7)
  const found = await diagnose()
  t.match(found, { ok: true, code: 'none', upstream_status: null, help_url: null })
  const [login, expiry, renewable, refresh] = found.checks
  t.match(login, { name: 'login', ok: true, detail: new RegExp(`session, a JWT of user ${USER} issued 20`) })
  t.match(expiry, { name: 'expiry', ok: true, detail: /ends at 20.*, 5 days left/, detail_zh: /剩余 5 天/ })
  t.match(renewable, { name: 'refresh', ok: true })
  t.match(refresh, { name: 'refresh', ok: true, detail: /renewed just now, until 20/, detail_zh: /续期成功/ })
  t.equal(server.renewals.length, 1)
  const refreshed = () => broker.log.map((text) => JSON.parse(text)).find(({ msg }) => msg === 'refresh')
  await waitUntil(() => refreshed() !== undefined) // which is said once it is stored
  const { state, session } = await item()
  t.match(
    { state, session },
    { state: 'active', session: { user_id: USER, days_remaining: 7 } },
    'and is kept',
  )
  const { outcome, expiresAt } = refreshed()
  t.equal(outcome, 'renewed')
  t.equal(Math.round((Date.parse(expiresAt) - Date.now()) / 86_400_000), 7, 'the log has its new end')
})

t.test('one that its server knows and will not extend before it is due', async (t) => {
  const { diagnose, refresh, item, events } = await holdSession(t, 5, 0)
  for (const time of ['once', 'and again']) {
    const found = await diagnose()
    t.match(found, { ok: true, code: 'none' }, time)
    t.match(found.checks.at(-1), {
      ok: true,
      detail: /knows the session.*less than 3 days/,
      detail_zh: /不足 3 天/,
    })
    t.ok(found.checks.every(({ ok }: { ok: boolean }) => ok))
  }
  t.match(await item(), { state: 'active', next_action: 'none', reason: null })
  t.match(await refresh(), { status: 409, body: { code: 'session_not_extended' } }, 'nor expired')
  t.match(await item(), { state: 'active', next_action: 'none', reason: null })
  t.same(await events(), [], 'nobody is alarmed because somebody looked')
})

t.test('one that is due and is not extended', async (t) => {
  const { diagnose, item } = await holdSession(t, 2, 0)
  t.match(await diagnose(), { ok: false, code: 'not_extended', help_url: 'https://chat.qwen.ai' })
  t.match(await item(), { next_action: 'login' })
})

t.test('one that is over', async (t) => {
  const { diagnose, server } = await holdSession(t, 5, 7)
  server.mishaps.push({ status: 401, body: '{"detail":"Your session has expired"}' })
  t.match(await diagnose(), { ok: false, code: 'login_needed', help_url: 'https://chat.qwen.ai' })
})

t.test('a server that answers with pages of a firewall says nothing against the session', async (t) => {
  const { diagnose, server, item } = await holdSession(t, 5, 7)
  for (let i = 0; i < 3; i += 1) server.mishaps.push({ status: 200, body: '<html>WAF</html>' })
  t.match(await diagnose(), { ok: false, code: 'renewal_failing' })
  t.match(await item(), { next_action: 'wait' })
})
