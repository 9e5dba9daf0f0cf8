import t from 'tap'
import {
  askDeviceCode,
  CLIENT_ID,
  DEVICE_CODE_GRANT,
  fakeClock,
  newPkce,
  poll,
  post,
  start,
  upstreamStatus,
} from './fixtures/client.ts'

t.test('a device logs in: code, pending, approval, tokens that upstream accepts', async (t) => {
  const sandbox = await start(t, { accessTokenSeconds: 7, deviceCodeSeconds: 90, interval: 0 })
  const { answer, deviceCode, userCode, codeVerifier } = await askDeviceCode(sandbox, 'openid')
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.match(userCode, /^[B-DF-HJ-NP-TV-XZ]{4}-\d{4}$/)
  t.same(answer.body, {
    device_code: deviceCode,
    user_code: userCode,
    verification_uri: `${sandbox.origin}/device`,
    verification_uri_complete: `${sandbox.origin}/device?user_code=${userCode}`,
    expires_in: 90,
    interval: 0,
  })

  const pending = await poll(sandbox, deviceCode, codeVerifier)
  t.equal(pending.status, 400)
  t.equal(pending.body['error'], 'authorization_pending')

  t.equal(await sandbox.approve(userCode.toLowerCase().replace('-', ' ')), true)
  t.equal(await sandbox.approve(userCode), false, 'a decision is final')
  const { status, headers, body } = await poll(sandbox, deviceCode, codeVerifier)
  t.equal(status, 200)
  t.equal(headers.get('cache-control'), 'no-store')
  t.match(body, {
    access_token: /^[\w-]{40,}$/,
    refresh_token: /^[\w-]{40,}$/,
    token_type: 'Bearer',
    expires_in: 7,
    scope: 'openid',
  })
  t.notOk('resource_url' in body)
  t.equal(await upstreamStatus(sandbox, String(body['access_token'])), 200)
  t.equal(sandbox.counts.deviceCodeRequests, 1)
  t.equal(sandbox.counts.devicePolls, 2)

  const again = await poll(sandbox, deviceCode, codeVerifier)
  t.equal(again.status, 400)
  t.equal(again.body['error'], 'invalid_grant', 'a device code works once')
})

t.test('resource_url comes with the tokens when the sandbox has one', async (t) => {
  const sandbox = await start(t, { resourceUrl: 'models.example' })
  const { deviceCode, userCode, codeVerifier } = await askDeviceCode(sandbox)
  await sandbox.approve(userCode)
  t.equal((await poll(sandbox, deviceCode, codeVerifier)).body['resource_url'], 'models.example')
})

t.test('a wrong verifier is refused, pending or approved, and does not use up the code', async (t) => {
  const sandbox = await start(t)
  const { deviceCode, userCode, codeVerifier } = await askDeviceCode(sandbox)
  const stranger = newPkce().codeVerifier
  t.equal((await poll(sandbox, deviceCode, stranger)).body['error'], 'invalid_grant')
  await sandbox.approve(userCode)
  t.equal((await poll(sandbox, deviceCode, stranger)).body['error'], 'invalid_grant')
  t.equal((await poll(sandbox, deviceCode, codeVerifier)).status, 200)
})

t.test('slow_down adds 5 seconds for good', async (t) => {
  const { clock, advance } = fakeClock()
  const sandbox = await start(t, { clock, interval: 1 })
  const { deviceCode, codeVerifier } = await askDeviceCode(sandbox)
  // The server forgives 50 ms, because it measures where polls arrive.
  for (const [waitMs, expected] of [
    [0, 'authorization_pending'],
    [949, 'slow_down'],
    [5_949, 'slow_down'],
    [10_949, 'slow_down'],
    [15_950, 'authorization_pending'],
    [15_950, 'authorization_pending'],
    [1_000, 'slow_down'],
  ] as const) {
    advance(waitMs)
    const { status, body } = await poll(sandbox, deviceCode, codeVerifier)
    t.equal(status, 400)
    t.equal(body['error'], expected, `after ${waitMs} ms`)
  }
})

t.test('without interval in the answer, 5 seconds hold', async (t) => {
  const { clock, advance } = fakeClock()
  const sandbox = await start(t, { clock, interval: null })
  const { answer, deviceCode, codeVerifier } = await askDeviceCode(sandbox)
  t.notOk('interval' in answer.body)
  await poll(sandbox, deviceCode, codeVerifier)
  advance(5_000)
  t.equal((await poll(sandbox, deviceCode, codeVerifier)).body['error'], 'authorization_pending')
  advance(4_900)
  t.equal((await poll(sandbox, deviceCode, codeVerifier)).body['error'], 'slow_down')
})

t.test('a device code expires, to the millisecond', async (t) => {
  const { clock, advance } = fakeClock()
  const sandbox = await start(t, { clock, deviceCodeSeconds: 60 })
  const { deviceCode, userCode, codeVerifier } = await askDeviceCode(sandbox)
  advance(59_999)
  t.equal((await poll(sandbox, deviceCode, codeVerifier)).body['error'], 'authorization_pending')
  advance(1)
  t.equal((await poll(sandbox, deviceCode, codeVerifier)).body['error'], 'expired_token')
  t.equal(await sandbox.approve(userCode), false)
  advance(60_000)
  await askDeviceCode(sandbox)
  t.equal((await poll(sandbox, deviceCode, codeVerifier)).body['error'], 'invalid_grant', 'forgotten by now')
})

t.test('a denied device hears access_denied', async (t) => {
  const sandbox = await start(t)
  const { deviceCode, userCode, codeVerifier } = await askDeviceCode(sandbox)
  t.equal(await sandbox.deny(userCode), true)
  const { status, body } = await poll(sandbox, deviceCode, codeVerifier)
  t.equal(status, 400)
  t.equal(body['error'], 'access_denied')
})

t.test('requests that are not what the RFCs ask for', async (t) => {
  const sandbox = await start(t)
  const { codeChallenge, codeVerifier } = newPkce()
  const ask = {
    client_id: CLIENT_ID,
    scope: 'openid',
    code_challenge: codeChallenge,
    code_challenge_method: 'S256',
  }
  const take = {
    grant_type: DEVICE_CODE_GRANT,
    client_id: CLIENT_ID,
    device_code: 'x',
    code_verifier: codeVerifier,
  }
  const cases: [string, string, Record<string, string> | [string, string][], number, string][] = [
    ['no client_id', 'device/code', { ...ask, client_id: '' }, 400, 'invalid_request'],
    ['unknown client', 'device/code', { ...ask, client_id: 'x' }, 401, 'invalid_client'],
    ['no scope', 'device/code', { ...ask, scope: '' }, 400, 'invalid_scope'],
    ['malformed scope', 'device/code', { ...ask, scope: 'a  b' }, 400, 'invalid_scope'],
    ['no challenge', 'device/code', { ...ask, code_challenge: '' }, 400, 'invalid_request'],
    ['short challenge', 'device/code', { ...ask, code_challenge: 'x' }, 400, 'invalid_request'],
    ['no method', 'device/code', { ...ask, code_challenge_method: '' }, 400, 'invalid_request'],
    ['plain method', 'device/code', { ...ask, code_challenge_method: 'plain' }, 400, 'invalid_request'],
    ['repeated', 'device/code', [...Object.entries(ask), ['scope', 'b']], 400, 'invalid_request'],
    ['no grant_type', 'token', { ...take, grant_type: '' }, 400, 'invalid_request'],
    ['unknown grant', 'token', { ...take, grant_type: 'password' }, 400, 'unsupported_grant_type'],
    ['no device_code', 'token', { ...take, device_code: '' }, 400, 'invalid_request'],
    ['unknown device_code', 'token', take, 400, 'invalid_grant'],
    ['no verifier', 'token', { ...take, code_verifier: '' }, 400, 'invalid_request'],
    ['short verifier', 'token', { ...take, code_verifier: 'x' }, 400, 'invalid_request'],
    ['unknown client', 'token', { ...take, client_id: 'x' }, 401, 'invalid_client'],
    ['repeated', 'token', [...Object.entries(take), ['client_id', CLIENT_ID]], 400, 'invalid_request'],
  ]
  for (const [name, path, form, status, error] of cases) {
    const answer = await post(`${sandbox.origin}/oauth/${path}`, form)
    t.equal(answer.status, status, `${path}: ${name}`)
    t.equal(answer.body['error'], error, `${path}: ${name}`)
    t.equal(answer.headers.get('cache-control'), 'no-store')
  }
  for (const type of ['application/json', 'text/plain', 'multipart/form-data']) {
    const answer = await post(`${sandbox.origin}/oauth/device/code`, ask, { 'content-type': type })
    t.equal(answer.status, 400, type)
    t.equal(answer.body['error'], 'invalid_request', type)
  }
  const huge = await post(`${sandbox.origin}/oauth/token`, { ...take, device_code: 'x'.repeat(100_000) })
  t.equal(huge.status, 400)
  t.equal(huge.body['error'], 'invalid_request')
})
