import type { Fault } from '../../src/sandbox/faults.ts'
import { requirement } from './requirement.ts'
import { CHINESE } from './stage.ts'

const FAILURES: Record<string, Fault> = {
  'an error of the server': { status: 500, body: { error: 'server_error' } },
  'an error at status 200': { status: 200, body: { error: 'invalid_client', error_description: 'no' } },
  'a refusal': { status: 401, body: { error: 'invalid_client' } },
  'HTML of a WAF at 200': { status: 200, body: '<html>Please wait</html>' },
  'HTML of a gateway at 504': { status: 504, body: '<html>Gateway Timeout</html>' },
  'an answer without a device code': { status: 200, body: { user_code: 'ABCD-1234', expires_in: 900 } },
  'half an answer': { halfBody: true },
  'a cut connection': { drop: true },
}

requirement('获取设备码 API', {
  成功获取设备码: async (t, open) => {
    const { deviceCode, status } = await open()
    const { status: code, headers, body } = await deviceCode()
    t.equal(code, 200)
    t.equal(headers.get('cache-control'), 'no-store')
    t.match(body.device_code, /^[\x21-\x7e]{20,}$/)
    t.match(body.user_code, /^[A-Z]{4}-[0-9]{4}$/)
    t.match(body.verification_uri, /^https?:/)
    t.ok(body.verification_uri_complete.startsWith(body.verification_uri))
    t.ok(body.verification_uri_complete.includes(body.user_code))
    t.equal(body.expires_in, 600)
    t.equal(body.interval, 1)
    t.equal((await status(`device_code=${body.device_code}`)).status, 200, 'it can be polled with')
  },

  设备码请求失败: async (t, open) => {
    const { broker, deviceCode } = await open()
    for (const [what, fault] of Object.entries(FAILURES)) {
      broker.sandbox.faults.next('device_code', fault)
      const { status, body } = await deviceCode()
      t.equal(status, 500, what)
      t.match(body, { detail: CHINESE, code: 'device_authorization_failed' }, what)
    }
    t.equal((await deviceCode()).status, 200, 'and then it works again')
  },
})
