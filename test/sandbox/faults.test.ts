import t from 'tap'
import type { Fault } from '../../src/sandbox/faults.ts'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import { askDeviceCode, logIn, poll, refresh, start, tokensOf, upstreamStatus } from './fixtures/client.ts'

function chat(sandbox: Sandbox, accessToken: string, stream: boolean): Promise<Response> {
  return fetch(`${sandbox.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'sandbox-model', stream, messages: [{ role: 'user', content: 'hi' }] }),
  })
}

/** What arrives before the connection ends, and whether it ended well. */
async function drain(response: Response): Promise<{ text: string; isWhole: boolean }> {
  let text = ''
  try {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString()
    return { text, isWhole: true }
  } catch {
    return { text, isWhole: false }
  }
}

t.test('an answer instead of handling, once per order and in order', async (t) => {
  const sandbox = await start(t)
  const { refreshToken } = await logIn(sandbox)
  sandbox.faults.next(
    'refresh',
    { status: 429, body: { error: 'slow_down' }, headers: { 'retry-after': '7' } },
    2,
  )
  sandbox.faults.next('refresh', { status: 200, body: { error: 'invalid_request' } })
  for (const status of [429, 429, 200]) {
    const answer = await refresh(sandbox, refreshToken)
    t.equal(answer.status, status)
    t.match(answer.headers.get('content-type'), /^application\/json/)
    t.equal(answer.headers.get('retry-after'), status === 429 ? '7' : null)
    t.match(answer.body['error'], /./)
  }
  t.equal(sandbox.counts.refreshGrants, 0, 'none was handled')
  t.equal(sandbox.counts.refreshRequests, 3, 'but they did arrive')
  t.equal((await refresh(sandbox, refreshToken)).status, 200)
})

t.test('a text is HTML unless it says otherwise', async (t) => {
  const sandbox = await start(t)
  sandbox.faults.next('device_code', { status: 504, body: '<h1>Gateway</h1>' })
  sandbox.faults.next('device_code', { status: 503, body: 'wait', contentType: 'text/plain' })
  const ask = () => fetch(`${sandbox.origin}/oauth/device/code`, { method: 'POST' })
  const html = await ask()
  t.equal(html.status, 504)
  t.match(html.headers.get('content-type'), /^text\/html/)
  t.equal(await html.text(), '<h1>Gateway</h1>')
  t.equal((await ask()).headers.get('content-type'), 'text/plain')
  t.equal((await ask()).status, 400)
})

t.test('each order waits at its own point', async (t) => {
  const sandbox = await start(t)
  const { accessToken, refreshToken } = await logIn(sandbox)
  sandbox.faults.next('token', { status: 500 })
  t.equal((await refresh(sandbox, refreshToken)).status, 200)
  t.equal(await upstreamStatus(sandbox, accessToken), 200)
  const { deviceCode, codeVerifier } = await askDeviceCode(sandbox)
  t.equal((await poll(sandbox, deviceCode, codeVerifier)).status, 500)
  sandbox.faults.next('upstream', { status: 418 })
  t.equal(await upstreamStatus(sandbox, 'anyone'), 418, 'before the access token is looked at')
  sandbox.faults.next('upstream', { status: 418 })
  sandbox.faults.clear()
  t.equal(await upstreamStatus(sandbox, accessToken), 200)
})

t.test('cut before handling: nothing has happened', async (t) => {
  const sandbox = await start(t)
  const { refreshToken } = await logIn(sandbox)
  sandbox.faults.next('refresh', { drop: true })
  await t.rejects(refresh(sandbox, refreshToken))
  t.equal(sandbox.counts.refreshGrants, 0)
  sandbox.faults.next('upstream', { drop: true })
  await t.rejects(upstreamStatus(sandbox, 'anyone'))
  t.equal(sandbox.counts.unauthorized, 0)
  t.equal(sandbox.counts.upstreamCancelled, 0, 'the client did not leave')
  t.equal((await refresh(sandbox, refreshToken)).status, 200)
})

t.test('cut after handling: the token has rotated, and nobody knows the new one', async (t) => {
  const sandbox = await start(t)
  const { refreshToken } = await logIn(sandbox)
  sandbox.faults.next('refresh', { afterHandling: 'drop' })
  await t.rejects(refresh(sandbox, refreshToken))
  t.equal(sandbox.counts.refreshGrants, 1)
  t.equal((await refresh(sandbox, refreshToken)).body['error'], 'invalid_grant')
  t.equal(sandbox.counts.reusesDetected, 1)
})

t.test('late: handled at once, answered later', async (t) => {
  const sandbox = await start(t)
  const { refreshToken } = await logIn(sandbox)
  sandbox.faults.next('refresh', { delayMs: 150 })
  const startedAt = performance.now()
  let isAnswered = false
  const answering = refresh(sandbox, refreshToken).finally(() => {
    isAnswered = true
  })
  while (sandbox.counts.refreshGrants === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.notOk(isAnswered)
  t.equal((await answering).status, 200)
  t.ok(performance.now() - startedAt >= 145)
})

t.test('half a body: handled, and cut before its end', async (t) => {
  const sandbox = await start(t)
  const { accessToken, refreshToken } = await logIn(sandbox)
  sandbox.faults.next('upstream', { halfBody: true })
  const response = await chat(sandbox, accessToken, false)
  t.equal(response.status, 200)
  const { text, isWhole } = await drain(response)
  t.notOk(isWhole)
  t.equal(text.length > 0 && text.length <= Number(response.headers.get('content-length')) / 2 + 1, true)
  sandbox.faults.next('refresh', { halfBody: true })
  await t.rejects(refresh(sandbox, refreshToken))
  t.equal(sandbox.counts.refreshGrants, 1)
  t.equal(sandbox.counts.upstreamCancelled, 0, 'the client did not leave')
})

t.test('a stream dies between chunks, or within one', async (t) => {
  const sandbox = await start(t)
  const { accessToken } = await logIn(sandbox)
  for (const [fault, whole, isPartLeft] of [
    [{ cutAfterChunks: 0 }, 0, false],
    [{ cutAfterChunks: 2 }, 2, false],
    [{ halfBody: true }, 1, true],
  ] as [Fault, number, boolean][]) {
    sandbox.faults.next('upstream', fault)
    const response = await chat(sandbox, accessToken, true)
    t.equal(response.status, 200)
    const { text, isWhole } = await drain(response)
    t.notOk(isWhole)
    const parts = text.split('\n\n')
    t.equal(parts.length - 1, whole)
    t.equal(parts.at(-1) !== '', isPartLeft)
  }
  const { text, isWhole } = await drain(await chat(sandbox, accessToken, true))
  t.ok(isWhole)
  t.match(text, /\[DONE\]/)
})

t.test('hanging: no answer, until the client leaves', async (t) => {
  const sandbox = await start(t)
  const { accessToken } = await logIn(sandbox)
  sandbox.faults.next('upstream', { hang: true })
  const leaving = new AbortController()
  const call = fetch(`${sandbox.origin}/v1/models`, {
    signal: leaving.signal,
    headers: { authorization: `Bearer ${accessToken}` },
  })
  const left = t.rejects(call, { name: 'AbortError' })
  while (sandbox.counts.upstreamCalls === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  leaving.abort()
  await left
  while (sandbox.counts.upstreamCancelled === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  sandbox.faults.next('upstream', { hang: true })
  const hanging = t.rejects(upstreamStatus(sandbox, accessToken))
  while (sandbox.counts.upstreamCalls < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  await sandbox.close()
  await hanging
})

t.test('the control routes are there only when asked for', async (t) => {
  const closed = await start(t)
  for (const path of ['counts', 'faults', 'approve', 'deny', 'revoke-access-tokens', 'revoke-families']) {
    const method = path === 'counts' ? 'GET' : 'POST'
    t.equal((await fetch(`${closed.origin}/control/${path}`, { method })).status, 404)
  }

  const sandbox = await start(t, { control: true })
  const control = async (path: string, body: unknown = {}) => {
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify(body) }
    return (await fetch(`${sandbox.origin}/control/${path}`, init)).status
  }
  const { deviceCode, userCode, codeVerifier } = await askDeviceCode(sandbox)
  t.equal(await control('approve', { user_code: userCode }), 204)
  t.equal(await control('approve', { user_code: 'NOPE-0000' }), 404)
  const first = tokensOf(await poll(sandbox, deviceCode, codeVerifier))
  t.equal(await control('revoke-access-tokens'), 204)
  t.equal(await upstreamStatus(sandbox, first.accessToken), 401)
  t.equal(await control('faults', { at: 'refresh', fault: { status: 503, body: {} }, times: 2 }), 204)
  t.equal((await refresh(sandbox, first.refreshToken)).status, 503)
  t.equal((await refresh(sandbox, first.refreshToken)).status, 503)
  t.equal((await refresh(sandbox, first.refreshToken)).status, 200)
  t.equal(await control('revoke-families'), 204)

  const counts = await (await fetch(`${sandbox.origin}/control/counts`)).json()
  t.match(counts, { refreshRequests: 3, refreshGrants: 1, unauthorized: 1, familiesRevoked: 1 })
  for (const order of [
    { at: 'nowhere', fault: { drop: true } },
    { at: 'token', fault: {} },
    { at: 'token', fault: { explode: true } },
    { at: 'token', fault: { drop: true }, times: 0 },
    { at: 'token', fault: { status: '500' } },
  ]) {
    t.equal(await control('faults', order), 400, JSON.stringify(order))
  }
})
