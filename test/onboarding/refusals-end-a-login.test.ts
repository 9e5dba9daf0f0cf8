import t from 'tap'
import type { Fault } from '../../src/sandbox/faults.ts'
import { openStage } from '../seed/stage.ts'
import { onEachDatabase } from '../support/databases.ts'

const DENIED = { status: 403, body: { code: 'access_denied', detail: /用户拒绝授权/ } }
const EXPIRED = { status: 408, body: { code: 'authorization_timeout', detail: /认证超时/ } }
const INVALID = { status: 400, body: { code: 'invalid_device_code', detail: '设备码无效' } }
const refused = (word: string) => ({
  status: 502,
  body: {
    code: 'authorization_server_refused',
    detail: new RegExp(`认证服务拒绝.*：${word}$`),
    message: new RegExp(`: ${word}$`),
  },
})

const ENDS: [Fault, object][] = [
  [{ status: 400, body: { error: 'access_denied' } }, DENIED],
  [{ status: 403, body: { error: { code: 'access_denied' } } }, DENIED],
  [{ status: 400, body: { error: 'authorization_declined' } }, DENIED],
  [{ status: 200, body: { error: 'authorization_declined' } }, DENIED],
  [{ status: 400, body: { error: 'expired_token' } }, EXPIRED],
  [{ status: 403, body: { errors: [{ code: 'invalid_grant' }] } }, EXPIRED],
  [{ status: 401, body: '<html>Unauthorized</html>' }, EXPIRED],
  [{ status: 401, body: { error: 'invalid_request' } }, EXPIRED],
  [{ status: 401, body: { error: 'something_new' } }, EXPIRED],
  [{ status: 400, body: { error: 'bad_verification_code' } }, INVALID],
  [{ status: 200, body: { error: 'incorrect_device_code' } }, INVALID],
  [{ status: 400, body: { error: 'unauthorized_client' } }, refused('unauthorized_client')],
  [{ status: 401, body: { error: 'invalid_client' } }, refused('invalid_client')],
  [{ status: 400, body: { code: 'INVALID_SCOPE' } }, refused('invalid_scope')],
  [{ status: 400, body: { error: { error: 'invalid_request' } } }, refused('invalid_request')],
  [{ status: 200, body: { error: 'unsupported_grant_type' } }, refused('unsupported_grant_type')],
  [{ status: 400, body: { error: 'device_flow_disabled' } }, refused('device_flow_disabled')],
]

onEachDatabase(t, 'what ends a login ends it at once and for good', async (t, db) => {
  const { broker, deviceCode, status, tables } = await openStage(t, db)
  for (const [fault, expected] of ENDS) {
    const what = JSON.stringify(fault)
    await tables.run((rows) => rows.deleteFrom('rate_counters').execute())
    const { session_id, device_code } = (await deviceCode()).body
    broker.sandbox.faults.next('token', fault)
    t.match(await status(`session_id=${session_id}`), expected, what)
    t.match(await status(`session_id=${session_id}`), expected, `${what}: it stays so`)
    t.match(await status(`device_code=${device_code}`), expected, `${what}: by its code too`)
  }
  t.equal(broker.sandbox.counts.devicePolls, ENDS.length, 'nobody was asked again')
})
