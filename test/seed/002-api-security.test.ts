import { FernetKey } from '../../src/vault/fernet.ts'
import { ADMIN_TOKEN, type Answer, call } from '../support/broker.ts'
import { Canary, databaseBytes } from '../support/canary.ts'
import { waitUntil } from '../support/wait-until.ts'
import { requirement } from './requirement.ts'
import { ENCRYPTION_KEY } from './stage.ts'

const key = new FernetKey(ENCRYPTION_KEY)

requirement('API 安全', {
  限制设备码请求频率: async (t, open) => {
    const { broker, deviceCode, replica } = await open()
    const replicas = [broker, await replica(), await replica()]
    const ask = (i: number) => call(`${replicas[i % 3]?.origin}/api/qwen/oauth/device-code`, 'POST', {})
    const answers = await Promise.all(Array.from({ length: 15 }, (_, i) => ask(i)))
    const allowed = answers.filter(({ status }) => status === 200)
    t.equal(allowed.length, 10, 'three brokers together')
    t.equal(broker.sandbox.counts.deviceCodeRequests, 10, 'the others never reach the server')
    for (const { status, headers, body } of [...answers.filter((answer) => !allowed.includes(answer))]) {
      t.equal(status, 429)
      const seconds = Number(headers.get('retry-after'))
      t.ok(Number.isInteger(seconds) && seconds > 0 && seconds <= 60, `Retry-After: ${seconds}`)
      t.match(body, { detail: /请求过于频繁/, code: 'rate_limit_exceeded' })
    }
    t.equal((await deviceCode()).status, 429)
  },

  验证状态轮询权限: async (t, open) => {
    const { broker, deviceCode, status } = await open()
    const { session_id, device_code } = (await deviceCode()).body
    const notFound = { status: 404, body: { detail: /会话不存在/, code: 'session_not_found' } }
    for (const guess of ['unknown', `${session_id}x`, session_id.slice(0, -1), 'A'.repeat(32), '%00']) {
      t.match(await status(`session_id=${guess}`), notFound, guess)
    }
    t.match(await status(`session_id=${device_code}`), notFound, 'one is not the other')
    t.equal((await status(`device_code=${session_id}`)).status, 400)
    const elsewhere = `${broker.origin}/api/sandbox/oauth/status?session_id=${session_id}`
    t.match(await call(elsewhere, 'GET'), notFound, 'nor is it good at another provider')
    t.equal((await status(`session_id=${session_id}`)).status, 200)
  },

  不在日志中记录敏感信息: async (t, open) => {
    const stage = await open()
    const { broker, tables, deviceCode, status, session, createConfig, row, setRow, complete } = stage
    const { sandbox } = broker
    const canary = new Canary()
    const seen: Answer[] = []
    const keep = (answer: Answer) => {
      seen.push(answer)
      return answer
    }
    canary.watch('admin token', ADMIN_TOKEN)
    canary.watch('encryption key', ENCRYPTION_KEY)
    canary.watch('api key', 'sk-upstream-0123456789abcdef0123456789')
    const quote = (status: number, error: string, secret: string) => ({
      status,
      body: { error, error_description: `"${secret}" is no good, said the server` },
    })

    // Login, with everything that may go wrong on the way.
    const started = (await deviceCode()).body
    canary.watch('device_code', started.device_code)
    canary.watch('code_verifier', key.decrypt((await session(started.session_id))?.code_verifier ?? ''))
    sandbox.faults.next('device_code', quote(400, 'invalid_request', started.device_code))
    keep(await deviceCode())
    sandbox.faults.next('token', quote(500, started.device_code, started.device_code))
    keep(await status(`device_code=${started.device_code}`))
    keep(await status(`device_code=${started.device_code}`))
    keep(await status(`device_code=${started.device_code}&device_code=x`))
    await stage.setSession(started.session_id, { next_poll_at: 0 })
    await sandbox.approve(started.user_code)
    const { token } = (await status(`device_code=${started.device_code}`)).body
    canary.watch('access_token', token.access_token)
    canary.watch('refresh_token', token.refresh_token)
    t.notOk(JSON.stringify(seen.map(({ body }) => body)).includes(token.access_token))

    // Configs and keys.
    const created = keep(await createConfig({ oauth_token: token }))
    const { id } = created.body
    keep(
      await createConfig({
        name: 'by key',
        provider: 'openai',
        base_url: `${sandbox.origin}/v1`,
        api_key: 'sk-upstream-0123456789abcdef0123456789',
        models: [],
      }),
    )
    keep(await createConfig({ oauth_token: { ...token, resource_url: 'evil.example' } }))
    keep(
      await createConfig({ oauth_token: { ...token, refresh_token: `not allowed: ${token.refresh_token}` } }),
    )
    const brokerKey = await stage.createKey()
    canary.watch('broker key', brokerKey)

    // Refreshes: quoted back, then good, then dead.
    sandbox.faults.next('refresh', quote(429, 'slow_down', token.refresh_token))
    keep(await complete(brokerKey))
    await setRow(id, { next_attempt_at: 0 })
    keep(await broker.admin('POST', `/api/models/configs/${id}/refresh`))
    await waitUntil(async () => (await row(id)).oauth_version === 2)
    canary.watch('second access_token', key.decrypt((await row(id)).oauth_access_token ?? ''))
    const second = key.decrypt((await row(id)).oauth_refresh_token ?? '') ?? ''
    canary.watch('second refresh_token', second)
    keep(await complete(brokerKey))
    keep(await complete(`${brokerKey}x`))
    keep(await call(`${broker.origin}/v1/models?api_key=${brokerKey}`, 'GET'))
    keep(await call(`${broker.origin}/api/keys?token=${ADMIN_TOKEN}`, 'GET', undefined, brokerKey))
    keep(await call(`${broker.origin}/nowhere/${ADMIN_TOKEN}`, 'GET', undefined, ADMIN_TOKEN))
    sandbox.faults.next('refresh', quote(400, 'invalid_grant', second))
    keep(await broker.admin('POST', `/api/models/configs/${id}/refresh`))
    await waitUntil(async () => (await row(id)).oauth_state === 'reauth_required')
    for (const path of ['/api/models/configs', `/api/models/configs/${id}`, '/api/keys', '/metrics']) {
      keep(await broker.admin('GET', path))
    }
    keep(await broker.admin('DELETE', `/api/models/configs/${id}`))

    t.equal(canary.size, 10)
    t.ok(broker.log.length > 20)
    t.same(canary.foundIn(broker.log.join('\n')), [], 'log')
    for (const { body, headers } of seen) {
      t.same(canary.foundIn(JSON.stringify(body) + JSON.stringify([...headers])), [], 'answers')
    }
    t.same(canary.foundIn(await databaseBytes(tables, broker.dataDir)), [], 'database')

    // The first 8 and the last 4 characters might be shown; of what a server quotes nothing is.
    t.ok(
      broker.log.some((line) => line.includes('…\\" is no good, said the server')),
      'what a server says beside the token it quotes',
    )
  },
})
