/**
 * Each way to ask for a token, against a server that takes nothing else: a streamed completion through OpenAI's client, on
 * both databases, and one call a round of three brokers.
 */
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import t from 'tap'
import { BASIC, openTokenCalls, providerAt, streamed } from '../credential/fixtures/token-calls.ts'
import { call, createConfigAndKey, startBroker } from '../support/broker.ts'
import { selfSigned } from '../support/certificates.ts'
import { onEachDatabase } from '../support/databases.ts'
import { type Expected, type Said, STREAMED, startStrictEndpoint } from '../support/strict-token-endpoint.ts'
import { openTables } from '../support/tables.ts'
import { volcengineRefusal } from '../support/volcengine-server.ts'
import { waitUntil } from '../support/wait-until.ts'

const SUBJECT = `${part({ alg: 'none' })}.${part({ sub: 'pod', exp: 4_000_000_000 })}.c2lnbmF0dXJl`
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const ASSERTED = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'
const VOLCENGINE = { accessKey: 'AKLT0123456789', secretKey: 'c2VjcmV0LTAxMjM0NTY3ODk=' }
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 })
const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' })

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function pem(pair: typeof RSA): string {
  return pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** A vendor's own, in the words of its provider file. */
function steps(...token_request: object[]): Kind['file'] {
  return { credential: 'token_request', token_request }
}

interface Kind {
  readonly file: { readonly authorization_server?: object; readonly [field: string]: unknown }
  readonly expected: (origin: string) => Expected | readonly Expected[]
  /** How its endpoint hands out a token. */
  readonly answer?: (token: string) => Said
  readonly env?: Record<string, string>
}

/** As mounted volumes have them: a link to what is there now, with what editors leave around a token. */
function fileWith(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'subject-'))
  const path = join(folder, 'token')
  writeFileSync(join(folder, '1'), `\ufeff${text}\n`)
  symlinkSync(join(folder, '1'), path)
  return path
}

function subjectFile(): string {
  return fileWith(SUBJECT)
}

/** What it has signed, verified by somebody else, and used once. */
function assertion(algorithm: string, pair: typeof RSA, audience: (origin: string) => string) {
  const used = new Set<unknown>()
  return (origin: string) => (value: string) => {
    const { jti, aud, iss, sub, exp = 0 } = decodeJwt(value)
    const { alg } = decodeProtectedHeader(value)
    if (used.has(jti)) return 'used before'
    used.add(jti)
    if (alg !== algorithm) return `alg ${alg}`
    if (aud !== audience(origin)) return `aud ${aud}`
    if (iss !== 'client0123' || sub !== iss) return `iss ${iss}`
    if (exp > Date.now() / 1000 + 300) return 'too long'
    void jwtVerify(value, pair.publicKey)
    return undefined
  }
}

const KINDS: Record<string, () => Kind> = {
  'token_exchange as a form, without a client': () => ({
    env: { SUBJECT_FILE: subjectFile() },
    file: {
      credential: 'token_exchange',
      authorization_server: {
        scope: 'models read',
        params: { audience: 'https://models.example', resource: ['urn:a', 'urn:b'] },
      },
      subject_token: { file: 'env:SUBJECT_FILE' },
    },
    expected: () => ({
      parameters: {
        grant_type: TOKEN_EXCHANGE,
        subject_token: SUBJECT,
        subject_token_type: JWT_TYPE,
        scope: 'models read',
        audience: 'https://models.example',
        resource: ['urn:a', 'urn:b'],
      },
    }),
  }),
  'token_exchange as JSON': () => ({
    env: { SUBJECT_TEXT: SUBJECT },
    file: {
      credential: 'token_exchange',
      authorization_server: { body: 'json', params: { identity_provider_id: 'idp_1' } },
      subject_token: 'env:SUBJECT_TEXT',
      subject_token_type: 'id_token',
    },
    expected: () => ({
      body: 'json',
      parameters: {
        grant_type: TOKEN_EXCHANGE,
        subject_token: SUBJECT,
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        identity_provider_id: 'idp_1',
      },
    }),
  }),
  'token_exchange by a client with a secret': () => ({
    env: { SUBJECT_FILE: subjectFile() },
    file: {
      credential: 'token_exchange',
      authorization_server: { client_id: 'client0123', client_secret: 'clientsecret0123456789' },
      subject_token: { file: 'env:SUBJECT_FILE' },
      subject_token_type: 'urn:x:y',
    },
    expected: () => ({
      authorization: BASIC,
      parameters: { grant_type: TOKEN_EXCHANGE, subject_token: SUBJECT, subject_token_type: 'urn:x:y' },
    }),
  }),
  'jwt_bearer as a form': () => ({
    file: { credential: 'jwt_bearer', authorization_server: {}, subject_token: { file: subjectFile() } },
    expected: () => ({ parameters: { grant_type: JWT_BEARER, assertion: SUBJECT } }),
  }),
  'jwt_bearer as JSON, with headers': () => ({
    file: {
      credential: 'jwt_bearer',
      authorization_server: {
        body: 'json',
        headers: { 'anthropic-beta': 'oauth-2025-04-20,oidc-federation-2026-04-01' },
        params: { organization_id: 'org' },
      },
      subject_token: { file: subjectFile() },
    },
    expected: () => ({
      body: 'json',
      headers: { 'anthropic-beta': 'oauth-2025-04-20,oidc-federation-2026-04-01' },
      parameters: { grant_type: JWT_BEARER, assertion: SUBJECT, organization_id: 'org' },
    }),
  }),
  'client_credentials by somebody else’s assertion': () => ({
    file: {
      credential: 'client_credentials',
      authorization_server: { client_id: 'client0123', client_assertion: { file: subjectFile() } },
    },
    expected: () => ({
      parameters: {
        grant_type: 'client_credentials',
        client_id: 'client0123',
        client_assertion_type: ASSERTED,
        client_assertion: SUBJECT,
      },
    }),
  }),
  'client_credentials by private_key_jwt, ES256': () => {
    const check = assertion('ES256', EC as typeof RSA, (origin) => origin)
    return {
      file: {
        credential: 'client_credentials',
        authorization_server: {
          client_id: 'client0123',
          private_key: pem(EC as typeof RSA),
          algorithm: 'ES256',
        },
      },
      expected: (origin) => ({
        parameters: {
          grant_type: 'client_credentials',
          client_id: 'client0123',
          client_assertion_type: ASSERTED,
          client_assertion: check(origin),
        },
      }),
    }
  },
  'client_credentials by private_key_jwt, PS256, with a certificate': () => {
    const { cert } = selfSigned(['client'])
    const thumbprint = createHash('sha256').update(new X509Certificate(cert).raw).digest('base64url')
    const check = assertion('PS256', RSA, (origin) => `${origin}/token`)
    return {
      file: {
        credential: 'client_credentials',
        authorization_server: {
          client_id: 'client0123',
          private_key: pem(RSA),
          certificate: cert,
          algorithm: 'PS256',
          assertion_audience: 'token_endpoint',
        },
      },
      expected: (origin) => ({
        parameters: {
          grant_type: 'client_credentials',
          client_id: 'client0123',
          client_assertion_type: ASSERTED,
          client_assertion: (value) =>
            decodeProtectedHeader(value)['x5t#S256'] === thumbprint ? check(origin)(value) : 'x5t#S256',
        },
      }),
    }
  },
}

const OWN: Record<string, () => Kind> = {
  'token_request: a form, basic, 201 and a token in a header': () => ({
    file: steps({
      url: '{origin}/token',
      query: { Version: '2024-01-01' },
      basic: { user: 'client0123', password: 'clientsecret0123456789' },
      form: { scope: 'a b' },
      response: { token: { header: 'X-Subject-Token' }, lifetime_seconds: 3_600 },
    }),
    expected: () => ({
      path: '/token?Version=2024-01-01',
      authorization: BASIC,
      parameters: { scope: 'a b' },
    }),
    answer: (token) => ({ status: 201, headers: { 'x-subject-token': token }, body: {} }),
  }),
  'token_request: JSON, and the whole body is the token': () => ({
    file: steps({
      url: '{origin}/token',
      headers: { authorization: 'Bearer key', RqUID: '{uuid}' },
      json: { auth: { id: 'me' }, deep: [1, true, null, 'text'] },
      response: { token: { text: true }, lifetime_seconds: 3_600 },
    }),
    expected: () => ({
      body: 'json',
      authorization: 'Bearer key',
      headers: { rquid: (value) => (/^[0-9a-f-]{36}$/.test(value) ? undefined : value) },
      parameters: { auth: '[object Object]', deep: ['1', 'true', 'null', 'text'] },
    }),
    answer: (token) => ({ headers: { 'content-type': 'text/plain' }, body: `\ufeff${token}\n` }),
  }),
  'token_request: no body, and an end in epoch seconds': () => ({
    file: steps({
      url: '{origin}/token',
      response: { token: '/data/token', expires: { pointer: '/data/ends', unit: 'epoch_s' } },
    }),
    expected: () => ({ body: 'none' }),
    answer: (token) => ({ body: { data: { token, ends: Math.floor(Date.now() / 1_000) + 3_600 } } }),
  }),
  'token_request: signed as Volcengine has it': () => ({
    env: { ACCESS_KEY: VOLCENGINE.accessKey },
    file: steps({
      url: '{origin}/token',
      query: { Version: '2024-01-01', Action: 'Get a+Key' },
      json: { DurationSeconds: 3_600, ResourceIds: ['端点'] },
      sign: {
        ...{ dialect: 'volcengine', region: 'cn-beijing', service: 'ark' },
        access_key: 'env:ACCESS_KEY',
        secret_key: { file: fileWith(VOLCENGINE.secretKey) },
      },
      response: { token: '/Result/ApiKey', lifetime_seconds: 3_600 },
    }),
    expected: () => ({
      ...{ path: '/token?Version=2024-01-01&Action=Get%20a%2BKey', body: 'json' },
      parameters: { DurationSeconds: '3600', ResourceIds: '端点' },
      authorization: () => undefined,
      whole: (asked) => volcengineRefusal(asked, VOLCENGINE, 'cn-beijing/ark'),
    }),
    answer: (token) => ({ body: { ResponseMetadata: {}, Result: { ApiKey: token } } }),
  }),
  'token_request: two steps, with a file before them': () => ({
    file: {
      ...steps(
        {
          name: 'idp',
          url: '{origin}/idp',
          form: { subject: '{subject_token}' },
          response: { token: '/token', keep: { project: '/project' } },
        },
        {
          method: 'GET',
          url: '{origin}/token',
          headers: { authorization: 'Bearer {idp.token}', 'x-project': '{idp.project}' },
          response: { token: '/access_token', expires: { pointer: '/expires_in', unit: 'seconds_left' } },
        },
      ),
      subject_token: { file: subjectFile() },
    },
    expected: () => [
      { path: '/idp', parameters: { subject: SUBJECT } },
      {
        ...{ path: '/token', method: 'GET', body: 'none', authorization: 'Bearer first-step' },
        headers: { 'x-project': 'p-1' },
      },
    ],
  }),
  'token_exchange of what another server gives': () => ({
    file: {
      credential: 'token_exchange',
      authorization_server: { body: 'json', params: { identity_provider_id: 'idp_1' } },
      subject_token: {
        token_request: [
          {
            url: '{origin}/idp',
            basic: { user: 'client0123', password: 'clientsecret0123456789' },
            form: { grant_type: 'client_credentials' },
            response: { token: '/token' },
          },
        ],
      },
    },
    expected: () => [
      { path: '/idp', authorization: BASIC, parameters: { grant_type: 'client_credentials' } },
      {
        ...{ path: '/token', body: 'json' },
        parameters: {
          ...{ grant_type: TOKEN_EXCHANGE, subject_token: 'first-step', subject_token_type: JWT_TYPE },
          identity_provider_id: 'idp_1',
        },
      },
    ],
  }),
  'jwt_bearer by a JWT of our own': () => ({
    file: {
      credential: 'jwt_bearer',
      authorization_server: {},
      subject_token: {
        signed_jwt: {
          ...{ algorithm: 'RS256', key: pem(RSA), header: { kid: 'k' }, stamp: { jti: 'jti' } },
          claims: { iss: 'client0123', sub: 'client0123', aud: '{origin}/token', scope: 's' },
          lifetime_seconds: 300,
        },
      },
    },
    expected: (origin) => ({
      parameters: {
        grant_type: JWT_BEARER,
        assertion: assertion('RS256', RSA, (one) => `${one}/token`)(origin),
      },
    }),
  }),
}

const CALLERS = 10

/** Three brokers, and an account of each kind. */
onEachDatabase(t, 'three brokers', async (t, database) => {
  const all = await Promise.all(
    Object.entries({ ...KINDS, ...OWN }).map(async ([name, kindOf], index) => {
      const kind = kindOf()
      const endpoint = await startStrictEndpoint(t, {})
      endpoint.expected = kind.expected(endpoint.origin)
      endpoint.answerMs = 50
      if (kind.answer) endpoint.answer = kind.answer
      return { name, endpoint, provider: `p${index}`, file: providerAt(endpoint, kind.file), env: kind.env }
    }),
  )
  const providers = Object.fromEntries(all.map(({ provider, file }) => [provider, file]))
  const options = {
    databaseUrl: database.url,
    config: JSON.stringify({ allow_insecure_loopback: true, providers }),
    env: Object.assign({}, ...all.map(({ env = {} }) => env)),
  }
  const broker = await startBroker(t, options)
  const shared = {
    ...options,
    shared: broker.sandbox,
    ...(database.kind === 'SQLite' && { env: { ...options.env, DATA_DIR: broker.dataDir } }),
  }
  const brokers = [broker, await startBroker(t, shared), await startBroker(t, shared)]
  const tables = openTables(t, broker, database)
  for (const { name, endpoint, provider } of all) {
    await t.test(name, async (t) => {
      const made = { name, provider, models: [{ model_id: 'm' }] }
      const { configId, key } = await createConfigAndKey(broker, made)
      t.same(await streamed(broker, key), STREAMED)
      t.same(endpoint.complaints, [])
      const standing = () =>
        tables.run((db) =>
          db
            .selectFrom('model_configs')
            .select('oauth_version')
            .where('id', '=', configId)
            .executeTakeFirstOrThrow(),
        )
      await waitUntil(async () => (await standing()).oauth_version === 2)
      const ended = { oauth_expires_at: 1 }
      await tables.run((db) =>
        db.updateTable('model_configs').set(ended).where('id', '=', configId).execute(),
      )
      const path = `/api/models/configs/${configId}/status?is_active=true`
      for (const one of brokers) await one.admin('PATCH', path) // each forgets what it had
      const body = { model: 'm', messages: [] }
      const callers = brokers.flatMap(({ origin }) =>
        Array.from({ length: CALLERS }, () => call(`${origin}/v1/chat/completions`, 'POST', body, key)),
      )
      t.same([...new Set((await Promise.all(callers)).map(({ status }) => status))], [200])
      t.equal(endpoint.asked, 2 * [endpoint.expected].flat().length)
      t.same(endpoint.complaints, [])
    })
  }
})

t.test(
  'a subject that is replaced is read with the next call, and one that is not there yet is waited for',
  async (t) => {
    const path = subjectFile()
    const file = { credential: 'jwt_bearer', authorization_server: {}, subject_token: { file: path } }
    const calls = await openTokenCalls(
      t,
      { kind: 'SQLite', url: 'sqlite:' },
      { file, expected: () => ({ parameters: { grant_type: JWT_BEARER, assertion: SUBJECT } }) },
    )
    const { endpoint, complete, endsIn, item } = calls
    const put = (text: string) => {
      writeFileSync(`${path}.new`, text)
      renameSync(`${path}.new`, path)
    }
    put('\n')
    t.match(await complete(), { status: 503, body: { error: { code: 'refresh_unavailable' } } })
    t.match((await item()).credential, { state: 'cooling_down', reason: 'subject_token: the file is empty' })
    t.equal(endpoint.asked, 0)
    put('a.stale.subject')
    await calls.broker.admin('POST', `/api/models/configs/${calls.configId}/refresh`)
    t.equal((await complete()).status, 401)
    t.equal(endpoint.asked, 1)
    t.equal((await complete()).status, 401)
    t.equal(endpoint.asked, 1, 'the same is not sent again at once')
    put(readFileSync(path, 'utf8').replace('a.stale.subject', SUBJECT))
    t.equal((await complete()).status, 200, 'another one is')
    t.equal(endpoint.asked, 2)
    await endsIn(-1)
    t.equal((await complete()).status, 200)
  },
)

t.test('a variable that is not set stops nobody who does not use it, and says what is missing', async (t) => {
  const file = { credential: 'jwt_bearer', authorization_server: {}, subject_token: { file: 'env:NOT_SET' } }
  const { complete, item, endpoint } = await openTokenCalls(t, { kind: 'SQLite', url: 'sqlite:' }, { file })
  t.match(await complete(), { status: 401, body: { error: { code: 'credential_refused' } } })
  t.match((await item()).credential, { state: 'refused', reason: 'subject_token: NOT_SET is not set' })
  t.equal(endpoint.asked, 0)
})
