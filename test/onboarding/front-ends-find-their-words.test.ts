/**
 * A front end of the first requirement shows `message` of an error, and knows how a login ended by words in it: it
 * asks again for anything else. Its browser sends the language of the people it was written for.
 */
import t from 'tap'
import { create, keyConfig, start } from '../admin/fixtures/management.ts'
import { call } from '../support/broker.ts'
import { openTables } from '../support/tables.ts'

const CHINESE = { 'accept-language': 'zh-CN,zh;q=0.9,en;q=0.8', 'content-type': 'application/json' }

async function messageOf(url: string, init: RequestInit = {}): Promise<{ status: number; message: string }> {
  const answer = await fetch(url, { ...init, headers: { ...CHINESE, ...init.headers } })
  return { status: answer.status, message: ((await answer.json()) as { message: string }).message }
}

t.test('how a login ended', async (t) => {
  const broker = await start(t)
  const status = (query: string) => `${broker.origin}/api/sandbox/oauth/status?${query}`
  t.match(await messageOf(status('device_code=unknown')), { status: 400, message: /设备码无效/ })
  const { body } = await call(`${broker.origin}/api/sandbox/oauth/device-code`, 'POST', {})
  const { run } = openTables(t, broker, { kind: 'SQLite', url: 'sqlite:' })
  broker.sandbox.faults.next('token', { status: 400, body: { error: 'expired_token' } })
  const polled = await messageOf(status(`device_code=${encodeURIComponent(body.device_code)}`))
  t.match(polled, { status: 408, message: /认证超时/ })
  await run((db) => db.deleteFrom('device_sessions').execute())
  t.match(await messageOf(status(`session_id=${body.session_id}`)), { status: 404, message: /会话不存在/ })
})

t.test('that somebody else has changed a config', async (t) => {
  const broker = await start(t)
  const { id, updated_at } = await create(broker, keyConfig('a'))
  const put = await messageOf(`${broker.origin}/api/models/configs/${id}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${broker.adminToken}` },
    body: JSON.stringify({ name: 'b', updated_at: updated_at - 1 }),
  })
  t.match(put, { status: 409, message: /已被其他用户修改/ })
})
