import t, { type Test } from 'tap'
import { type Renewal, refreshToken } from '../../src/oauth/refresh-token-grant.ts'
import { parseTokenResponse, type TokenSet } from '../../src/oauth/token-response.ts'
import { authorizationServerAt, jwt, type Scripted, startScriptedServer } from './fixtures/scripted-server.ts'

const NOW = Date.UTC(2030, 0, 1)
const HOUR = 3_600_000
const inSeconds = (ms: number) => Math.floor((NOW + ms) / 1000)

async function openServer(t: Test, dialect: string[] = []) {
  const server = await startScriptedServer(t)
  const client = authorizationServerAt(server.origin, dialect)
  return async (answer: Scripted): Promise<Renewal> => {
    server.script(answer)
    return refreshToken(client, 'old', () => NOW)
  }
}

const TOKENS = { access_token: 'access', refresh_token: 'next', token_type: 'Bearer', expires_in: 3600 }
const text = JSON.stringify(TOKENS)
const utf16be = Buffer.from(`\ufeff${text}`, 'utf16le').swap16()
const LONGEST = 'a'.repeat(32_768)
const FORM = 'application/x-www-form-urlencoded; charset=utf-8'

const SHAPES: Record<string, [Scripted, Partial<TokenSet>?]> = {
  'as RFC 6749 has it': [{ body: TOKENS }],
  'status 201': [{ status: 201, body: TOKENS }],
  'status 202': [{ status: 202, body: TOKENS }],
  'status 299': [{ status: 299, body: TOKENS }],
  'a byte order mark': [{ body: `\ufeff${text}` }],
  'a byte order mark and blanks': [{ body: `\ufeff\r\n  ${text}\r\n` }],
  'UTF-16 with a byte order mark': [{ body: Buffer.from(`\ufeff${text}`, 'utf16le') }],
  'UTF-16, the other way round': [{ body: utf16be }],
  'UTF-16 by its charset': [
    { body: Buffer.from(text, 'utf16le'), contentType: 'application/json; charset="UTF-16LE"' },
  ],
  'a charset that does not exist': [{ body: text, contentType: 'application/json; charset=nonsense' }],
  'called plain text': [{ body: text, contentType: 'text/plain' }],
  'called HTML': [{ body: text, contentType: 'text/html' }],
  'called nothing': [{ body: text, contentType: '' }],
  'a form': [{ body: new URLSearchParams({ ...TOKENS, expires_in: '3600' }).toString(), contentType: FORM }],
  'a form called plain text, with a line end': [
    { body: 'access_token=access&refresh_token=next&expires_in=3600\n', contentType: 'text/plain' },
  ],
  'tokens of the greatest length': [
    { body: { ...TOKENS, access_token: LONGEST, refresh_token: LONGEST } },
    { accessToken: LONGEST, refreshToken: LONGEST },
  ],
  'both of them escaped, in UTF-16': [
    {
      body: Buffer.from(
        `\ufeff${JSON.stringify({ ...TOKENS, access_token: LONGEST, refresh_token: LONGEST })}`,
        'utf16le',
      ),
    },
    { accessToken: LONGEST, refreshToken: LONGEST },
  ],
  'a refresh token with blanks (RFC 6749 §A.17)': [
    { body: { ...TOKENS, refresh_token: 'next one' } },
    { refreshToken: 'next one' },
  ],
  'no refresh token': [{ body: { ...TOKENS, refresh_token: undefined } }, { refreshToken: undefined }],
  'a refresh token of null': [{ body: { ...TOKENS, refresh_token: null } }, { refreshToken: undefined }],
  'a refresh token of nothing': [{ body: { ...TOKENS, refresh_token: '' } }, { refreshToken: undefined }],
  'a refresh token of false': [{ body: { ...TOKENS, refresh_token: false } }, { refreshToken: undefined }],
  'members that stand twice': [{ body: `{"access_token":"first","refresh_token":"first",${text.slice(1)}` }],
  'an error of null': [{ body: { ...TOKENS, error: null } }],
  'an error of nothing': [{ body: { ...TOKENS, error: '', error_description: '' } }],
  'an error of false': [{ body: { ...TOKENS, error: false } }],
  'no errors': [{ body: { ...TOKENS, errors: [] } }],
  'a code of 0': [{ body: { ...TOKENS, code: 0, message: 'success' } }],
  'a code of OK': [{ body: { ...TOKENS, code: 'OK', error: { code: 0, message: 'ok' } } }],
  'a list of scopes': [{ body: { ...TOKENS, scope: ['openid', 'email'] } }, { scope: 'openid email' }],
  'a list of scopes as objects': [
    { body: { ...TOKENS, scope: ['openid', { name: 'profile' }, null, 7, 'email'] } },
    { scope: 'openid email' },
  ],
  'an object of scopes': [{ body: { ...TOKENS, scope: { openid: true } } }, { scope: undefined }],
}

t.test('tokens are found in every shape of a good answer', async (t) => {
  const answered = await openServer(t)
  const usual = { accessToken: 'access', refreshToken: 'next', tokenType: 'Bearer', expiresAt: NOW + HOUR }
  for (const [shape, [answer, differs]] of Object.entries(SHAPES)) {
    t.match(await answered(answer), { kind: 'tokens', tokens: { ...usual, ...differs } }, shape)
  }
})

t.test('how long a token lives is read from whatever says it', async (t) => {
  const answered = await openServer(t)
  const ends = async (what: string, body: object, expiresAt: number | undefined) => {
    const renewal = await answered({ body: { ...TOKENS, expires_in: undefined, ...body } })
    t.equal(renewal.kind === 'tokens' && renewal.tokens.expiresAt, expiresAt, what)
  }
  const own = (exp: unknown) => ({ access_token: jwt({ exp }) })
  await ends('a number', { expires_in: 60 }, NOW + 60_000)
  await ends('a text', { expires_in: '60' }, NOW + 60_000)
  await ends('a text with blanks', { expires_in: ' 60\n' }, NOW + 60_000)
  await ends('a fraction', { expires_in: 59.9995 }, NOW + 59_999)
  await ends('a text with a fraction', { expires_in: '3599.5' }, NOW + 3_599_500)
  for (const nothing of [undefined, null, 0, '0', -1, '-3600', '', 'soon', '60s', [], {}, true, 1e300]) {
    const said = JSON.stringify(nothing)
    await ends(`${said} says nothing`, { expires_in: nothing }, undefined)
    await ends(`${said}, yet a JWT`, { expires_in: nothing, ...own(inSeconds(HOUR)) }, NOW + HOUR)
  }
  await ends('longer than ten years', { expires_in: 11 * 365 * 86_400 }, undefined)
  await ends(
    'what the answer says outranks the JWT',
    { expires_in: 60, ...own(inSeconds(HOUR)) },
    NOW + 60_000,
  )
  await ends('an exp with a fraction', own(inSeconds(HOUR) + 0.25), NOW + HOUR + 250)
  await ends('an exp that is over', own(inSeconds(-1000)), undefined)
  await ends('an exp in milliseconds', own(NOW + HOUR), undefined)
  for (const exp of [undefined, null, `${inSeconds(HOUR)}`, 0, -1, {}, true]) {
    await ends(`an exp of ${JSON.stringify(exp)}`, own(exp), undefined)
  }
  await ends(
    'claims of null',
    { access_token: `e30.${Buffer.from('null').toString('base64url')}.x` },
    undefined,
  )
  await ends('an encrypted JWT', { access_token: 'e30.e30.e30.e30.e30' }, undefined)
})

t.test('what the provider file says of it stands between the answer and the JWT', (t) => {
  const FILE_MS = 60_000
  const own = { access_token: jwt({ exp: inSeconds(HOUR) }) }
  const ends = (body: object) => parseTokenResponse({ ...TOKENS, ...body }, NOW, FILE_MS)?.expiresAt
  t.equal(ends({}), NOW + HOUR)
  for (const nothing of [undefined, 0, -1, 'soon', 1e300]) {
    t.equal(ends({ expires_in: nothing }), NOW + FILE_MS)
    t.equal(ends({ expires_in: nothing, ...own }), NOW + FILE_MS)
  }
  t.end()
})

const DEAD = [
  { error: 'invalid_grant' },
  { error: ' INVALID_GRANT ' },
  { error: { code: 'invalid_grant' } },
  { error: { error: 'invalid_grant' } },
  { error: { code: 400, message: 'invalid_grant', status: 'INVALID_ARGUMENT' } },
  { error: { type: 'invalid_request_error', code: 'invalid_grant', message: 'Token is dead' } },
  { error: ['invalid_grant'] },
  { errors: ['invalid_grant'] },
  { errors: [{ code: 'invalid_grant' }] },
  { errors: [{ error: { code: 'invalid_grant' } }] },
  { errors: { code: 'invalid_grant' } },
  { code: 'invalid_grant' },
  { statusCode: 400, error: 'Bad Request', message: 'invalid_grant' },
  { error: true, code: 'invalid_grant' },
  { error: 'refresh_token_reused' },
  { error: { code: 'refresh_token_reused' } },
]

t.test('a dead login is told from every spelling, at every status that is about the request', async (t) => {
  const answered = await openServer(t, ['refresh_token_reused'])
  for (const body of DEAD) {
    for (const status of [400, 401, 403, 404, 422, 200]) {
      t.match(
        await answered({ status, body }),
        { kind: 'invalid_grant' },
        `${status} ${JSON.stringify(body)}`,
      )
    }
    for (const status of [500, 503]) {
      t.match(await answered({ status, body }), { kind: 'unclear' }, `${status} ${JSON.stringify(body)}`)
    }
    t.match(await answered({ status: 429, body }), { kind: 'not_processed' }, `429 ${JSON.stringify(body)}`)
  }
})

t.test('nothing else is taken for it', async (t) => {
  const answered = await openServer(t)
  const others: [Scripted, Renewal['kind']][] = [
    [{ status: 400, body: { error: 'refresh_token_reused' } }, 'not_processed'],
    [{ status: 401, body: { error: { code: 'invalid_client' } } }, 'not_processed'],
    [
      { status: 400, body: { error: 'invalid_request', message: 'invalid_grant is not meant' } },
      'not_processed',
    ],
    [{ status: 200, body: { ...TOKENS, error: 'temporarily_unavailable' } }, 'not_processed'],
    [{ status: 200, body: { ...TOKENS, error: { code: 'slow_down' } } }, 'not_processed'],
    [{ status: 400, body: { error: 'server_error' } }, 'unclear'],
    [{ status: 200, body: { error: { code: 500, message: 'boom' } } }, 'unclear'],
    [{ status: 400, body: { code: 40_001, message: 'no' } }, 'unclear'],
    [{ status: 400, body: '<html>invalid_grant</html>', contentType: 'text/html' }, 'unclear'],
    [{ status: 403, body: ['invalid_grant'] }, 'unclear'],
    [{ status: 302, body: TOKENS, headers: { location: '/elsewhere' } }, 'unclear'],
    [{ status: 500, body: TOKENS }, 'unclear'],
    [{ status: 200, body: {} }, 'unclear'],
    [{ status: 200, body: 'null' }, 'unclear'],
    [{ status: 204 }, 'unclear'],
    [{ status: 200, body: 'access_token=a%20b', contentType: FORM }, 'unclear'],
    [{ status: 200, body: '<p>?access_token=access&x</p>', contentType: 'text/html' }, 'unclear'],
  ]
  for (const [answer, kind] of others) t.match(await answered(answer), { kind }, JSON.stringify(answer))
})

t.test('a token that cannot be kept is told, and its answer is none', async (t) => {
  const answered = await openServer(t)
  const long = 'a'.repeat(32_769)
  const problems: [object, RegExp][] = [
    [{ access_token: long }, /the access_token is 32769 characters long, more than 32768/],
    [{ refresh_token: long }, /the refresh_token is 32769 characters long, more than 32768/],
    [{ access_token: 'a b' }, /the access_token has characters that none may have/],
    [{ refresh_token: 'next\n' }, /the refresh_token has characters that none may have/],
    [{ access_token: '' }, /no access_token/],
    [{ access_token: 7 }, /no access_token/],
  ]
  for (const [fields, why] of problems) {
    const renewal = await answered({ body: { ...TOKENS, ...fields } })
    t.match(renewal, { kind: 'unclear', why }, String(why))
    t.notMatch(renewal, { why: /aaaa/ })
  }
})

t.test('of what a server adds only what is known to be no secret is kept', (t) => {
  const body = {
    access_token: 'a',
    resource_url: 'portal.example',
    refresh_expires_in: 60,
    id_token: 'e.y.J',
    session_state: 's',
    cookie: 'c',
    key: 'k',
    device: { id: 'd' },
    user_id: { nested: 'x' },
  }
  t.same(parseTokenResponse(body, 0)?.metadata, { resource_url: 'portal.example', refresh_expires_in: 60 })
  t.end()
})
