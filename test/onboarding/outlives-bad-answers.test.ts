import t from 'tap'
import type { Fault } from '../../src/sandbox/faults.ts'
import { openStage } from '../seed/stage.ts'
import { onEachDatabase } from '../support/databases.ts'

const PASSING_TROUBLE: Record<string, Fault> = {
  'a 500': { status: 500, body: { error: 'server_error' } },
  'a 503 without a body': { status: 503 },
  'a 504 of HTML': { status: 504, body: '<html>Gateway Timeout</html>' },
  'a 200 of HTML': { status: 200, body: '<html>Please wait</html>' },
  'a 403 of HTML': { status: 403, body: '<html>WAF</html>' },
  'a 200 of nothing': { status: 200, body: {} },
  'a token that could break out of a header': { status: 200, body: { access_token: 'a b', expires_in: 60 } },
  'half an answer': { halfBody: true, status: 200, body: { error: 'authorization_pending' } },
  'a cut connection': { drop: true },
  'a 429 without a word': { status: 429, body: {} },
  'a client error nobody knows': { status: 400, body: { error: 'something_new' } },
  'a word that would end it, of a server in trouble': { status: 503, body: { error: 'access_denied' } },
  'a refused client, of a server in trouble': { status: 500, body: { error: 'invalid_client' } },
  'an error of the server itself': { status: 400, body: { error: { code: 'server_error' } } },
  'a limit, whatever the word': { status: 429, body: { error: 'invalid_request' } },
  'pending as an object': { status: 428, body: { error: { code: 'authorization_pending' } } },
  'a token that is too long': { status: 200, body: { access_token: 'a'.repeat(32_769) } },
  'no answer in time': { hang: true },
}

onEachDatabase(t, 'a login outlives every bad answer and ends well', async (t, db) => {
  const stage = await openStage(t, db, { refresh: { timeout_seconds: 0.5 } })
  const { broker, deviceCode, status, setSession, session } = stage
  const { session_id, user_code, interval } = (await deviceCode()).body
  for (const [what, fault] of Object.entries(PASSING_TROUBLE)) {
    broker.sandbox.faults.next('token', fault)
    const answer = await status(`session_id=${session_id}`)
    t.equal(answer.status, 200, what)
    t.same(answer.body, { status: 'pending', retry_after: interval * 1000 }, what)
    t.match(await session(session_id), { status: 'pending', code_verifier: String })
    await setSession(session_id, { next_poll_at: 0 })
  }
  await broker.sandbox.approve(user_code)
  t.equal((await status(`session_id=${session_id}`)).body.status, 'success')
})

onEachDatabase(t, 'a person who refuses is believed, and not asked again', async (t, db) => {
  const { broker, deviceCode, status } = await openStage(t, db)
  const { session_id, device_code, user_code } = (await deviceCode()).body
  await broker.sandbox.deny(user_code)
  const denied = { status: 403, body: { detail: /用户拒绝授权/, code: 'access_denied' } }
  t.match(await status(`session_id=${session_id}`), denied)
  t.match(await status(`device_code=${device_code}`), denied)
  t.equal(broker.sandbox.counts.devicePolls, 1)
})

onEachDatabase(t, 'a device code that the server gave to somebody else is over', async (t, db) => {
  const { broker, deviceCode, status } = await openStage(t, db)
  const { session_id } = (await deviceCode()).body
  broker.sandbox.faults.next('token', { status: 400, body: { error: 'invalid_grant' } })
  t.match(await status(`session_id=${session_id}`), { status: 408, body: { code: 'authorization_timeout' } })
})

t.test('providers without a device flow say so', async (t) => {
  const { broker } = await openStage(t, { kind: 'SQLite', url: 'sqlite:' })
  for (const [provider, code] of [
    ['openai', 'device_flow_unsupported'],
    ['no-such', 'provider_not_found'],
    ['__proto__', 'provider_not_found'],
  ]) {
    for (const [method, path] of [
      ['POST', 'device-code'],
      ['GET', 'status?session_id=x'],
    ]) {
      const answer = await fetch(`${broker.origin}/api/${provider}/oauth/${path}`, { method: method ?? '' })
      t.match(await answer.json(), { code, detail: /[\u4e00-\u9fff]/ })
      t.equal(answer.status, 404)
    }
  }
})
