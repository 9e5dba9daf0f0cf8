import { call } from '../support/broker.ts'
import { waitUntil } from '../support/wait-until.ts'
import { requirement } from './requirement.ts'

const MINUTE = 60_000

requirement('OAuth 会话管理', {
  '生成唯一的会话 ID': async (t, open) => {
    const { deviceCode, status } = await open()
    const started = await Promise.all(Array.from({ length: 10 }, deviceCode))
    const ids = started.map(({ body }) => body.session_id)
    t.equal(new Set(ids).size, 10)
    for (const id of ids) {
      t.match(id, /^[\w-]{32,}$/, 'nothing anybody could guess')
      t.match(await status(`session_id=${id}`), { status: 200, body: { status: 'pending' } })
    }
  },

  会话超时后清理: async (t, open) => {
    const stage = await open({ sandbox: { deviceCodeSeconds: 3_600 } })
    const { broker, deviceCode, status, session, setSession, replica } = stage
    const { session_id, device_code, user_code, expires_in } = (await deviceCode()).body
    t.equal(expires_in, 900, '15 minutes, though the server would wait an hour')
    const stored = await session(session_id)
    t.equal(Number(stored?.expires_at) - Number(stored?.created_at), 15 * MINUTE)

    await broker.sandbox.approve(user_code)
    t.match((await status(`session_id=${session_id}`)).body, { status: 'success' })
    t.ok((await session(session_id))?.tokens)

    await setSession(session_id, { expires_at: Date.now() - 1 })
    t.match(await status(`session_id=${session_id}`), { status: 408, body: { detail: /认证超时/ } })
    t.match(await session(session_id), { status: 'expired', tokens: null, code_verifier: null })
    const late = { name: '迟到', provider: 'qwen', models: [], oauth_session_id: session_id }
    t.equal((await broker.admin('POST', '/api/models/configs', late)).status, 404)

    // Known for a while, so that its page hears "too late"; then it is gone.
    await setSession(session_id, { expires_at: Date.now() - 16 * MINUTE })
    const other = await replica()
    await waitUntil(async () => (await session(session_id)) === undefined)
    const api = `${other.origin}/api/qwen/oauth/status`
    t.equal((await call(`${api}?session_id=${session_id}`, 'GET')).status, 404)
    t.equal((await call(`${api}?device_code=${device_code}`, 'GET')).status, 400)
  },
})
