import t from 'tap'
import {
  CLIENT_ID,
  fakeClock,
  logIn,
  post,
  refresh,
  start,
  tokensOf,
  upstreamStatus,
} from './fixtures/client.ts'

t.test('every refresh answers a new refresh token; older access tokens live to their end', async (t) => {
  const { clock, advance } = fakeClock()
  const sandbox = await start(t, { clock, accessTokenSeconds: 60 })
  const first = await logIn(sandbox)
  advance(30_000)
  const answer = await refresh(sandbox, first.refreshToken)
  t.equal(answer.status, 200)
  const second = tokensOf(answer)
  t.not(second.refreshToken, first.refreshToken)
  t.not(second.accessToken, first.accessToken)
  t.equal((await refresh(sandbox, second.refreshToken)).status, 200)
  t.equal(sandbox.counts.refreshRequests, 2)
  t.equal(sandbox.counts.refreshGrants, 2)
  advance(29_999)
  t.equal(await upstreamStatus(sandbox, first.accessToken), 200)
  advance(1)
  t.equal(await upstreamStatus(sandbox, first.accessToken), 401)
  t.equal(await upstreamStatus(sandbox, second.accessToken), 200)
})

t.test('a refresh token used again ends its whole family, and no other', async (t) => {
  const sandbox = await start(t)
  const other = await logIn(sandbox)
  const first = await logIn(sandbox)
  const second = tokensOf(await refresh(sandbox, first.refreshToken))
  const third = tokensOf(await refresh(sandbox, second.refreshToken))

  const reuse = await refresh(sandbox, first.refreshToken)
  t.equal(reuse.status, 400)
  t.equal(reuse.body['error'], 'invalid_grant')
  for (const { accessToken } of [first, second, third]) {
    t.equal(await upstreamStatus(sandbox, accessToken), 401)
  }
  t.equal((await refresh(sandbox, third.refreshToken)).body['error'], 'invalid_grant')
  t.equal(sandbox.counts.reusesDetected, 1)
  t.equal(sandbox.counts.familiesRevoked, 1)
  t.equal(await upstreamStatus(sandbox, other.accessToken), 200)
  t.equal((await refresh(sandbox, other.refreshToken)).status, 200)
})

t.test('of many refreshes at once with one token, one wins and the family dies', async (t) => {
  const sandbox = await start(t)
  const { refreshToken } = await logIn(sandbox)
  const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(sandbox, refreshToken)))
  t.equal(answers.filter(({ status }) => status === 200).length, 1)
  t.equal(sandbox.counts.familiesRevoked, 1)
})

t.test('an access token or a stranger is no refresh token, and harms nobody', async (t) => {
  const sandbox = await start(t)
  const { accessToken, refreshToken } = await logIn(sandbox)
  for (const wrong of [accessToken, 'stranger']) {
    t.equal((await refresh(sandbox, wrong)).body['error'], 'invalid_grant')
  }
  t.equal(sandbox.counts.familiesRevoked, 0)
  t.equal(await upstreamStatus(sandbox, refreshToken), 401, 'and a refresh token opens no upstream')
  t.equal((await refresh(sandbox, refreshToken)).status, 200)
})

t.test('a refresh may repeat its scope but not widen it', async (t) => {
  const sandbox = await start(t)
  const { refreshToken } = await logIn(sandbox)
  const wide = await refresh(sandbox, refreshToken, { scope: 'openid admin' })
  t.equal(wide.body['error'], 'invalid_scope')
  const same = await refresh(sandbox, refreshToken, { scope: 'openid' })
  t.equal(same.status, 200)
  const empty = await refresh(sandbox, tokensOf(same).refreshToken, { scope: '', client_secret: '' })
  t.equal(empty.status, 200, 'a parameter without a value counts as absent')
})

t.test('revocation by either token ends the family; an unknown token is no error', async (t) => {
  const sandbox = await start(t)
  for (const kind of ['accessToken', 'refreshToken'] as const) {
    const tokens = await logIn(sandbox)
    const answer = await post(`${sandbox.origin}/oauth/revoke`, { client_id: CLIENT_ID, token: tokens[kind] })
    t.equal(answer.status, 200)
    t.equal(await upstreamStatus(sandbox, tokens.accessToken), 401)
    t.equal((await refresh(sandbox, tokens.refreshToken)).body['error'], 'invalid_grant')
  }
  t.equal(sandbox.counts.familiesRevoked, 2)
  const unknown = await post(`${sandbox.origin}/oauth/revoke`, { client_id: CLIENT_ID, token: 'x' })
  t.equal(unknown.status, 200)
  t.equal((await post(`${sandbox.origin}/oauth/revoke`, { client_id: CLIENT_ID })).status, 400)
  t.equal((await post(`${sandbox.origin}/oauth/revoke`, { client_id: 'x', token: 'x' })).status, 401)
})

t.test('the levers: access tokens refused with grants alive, or all families gone', async (t) => {
  const sandbox = await start(t)
  const first = await logIn(sandbox)
  await sandbox.revokeAccessTokens()
  t.equal(await upstreamStatus(sandbox, first.accessToken), 401)
  const second = tokensOf(await refresh(sandbox, first.refreshToken))
  t.equal(await upstreamStatus(sandbox, second.accessToken), 200)
  await sandbox.revokeFamilies()
  t.equal(await upstreamStatus(sandbox, second.accessToken), 401)
  t.equal((await refresh(sandbox, second.refreshToken)).body['error'], 'invalid_grant')
})

t.test('client credentials: by Basic or in the body, with no refresh token', async (t) => {
  const sandbox = await start(t)
  const url = `${sandbox.origin}/oauth/token`
  const form = { grant_type: 'client_credentials', scope: 'openid' }
  const basic = (id: string, secret: string) => ({
    authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
  })
  for (const answer of [
    await post(url, form, basic(CLIENT_ID, 'sandbox-secret')),
    await post(url, form, basic(CLIENT_ID.replaceAll('-', '%2D'), 'sandbox%2Dsecret')),
    await post(url, { ...form, client_id: CLIENT_ID, client_secret: 'sandbox-secret' }),
  ]) {
    t.equal(answer.status, 200)
    t.notOk('refresh_token' in answer.body)
    t.equal(await upstreamStatus(sandbox, String(answer.body['access_token'])), 200)
  }
  const refused: [Record<string, string>, Record<string, string>, number, string][] = [
    [{ client_id: CLIENT_ID }, {}, 401, 'invalid_client'],
    [{ client_id: CLIENT_ID, client_secret: 'wrong' }, {}, 401, 'invalid_client'],
    [{}, basic(CLIENT_ID, 'wrong'), 401, 'invalid_client'],
    [{}, basic('x', 'sandbox-secret'), 401, 'invalid_client'],
    [{ client_id: 'x' }, basic(CLIENT_ID, 'sandbox-secret'), 401, 'invalid_client'],
    [{}, { authorization: 'Bearer x' }, 401, 'invalid_client'],
    [{ client_secret: 'sandbox-secret' }, basic(CLIENT_ID, 'sandbox-secret'), 400, 'invalid_request'],
  ]
  for (const [more, headers, status, error] of refused) {
    const answer = await post(url, { ...form, ...more }, headers)
    t.equal(answer.status, status)
    t.equal(answer.body['error'], error)
    t.equal(answer.headers.has('www-authenticate'), status === 401)
  }
})
