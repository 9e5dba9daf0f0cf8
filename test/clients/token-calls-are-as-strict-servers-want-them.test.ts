/**
 * Each way to ask for a token, against a server that takes nothing else: a streamed completion through OpenAI's client, on
 * both databases, and one call a round of three brokers.
 */
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { BASIC, openTokenCalls, streamed } from '../credential/fixtures/token-calls.ts'
import { selfSigned } from '../support/certificates.ts'
import { onEachDatabase } from '../support/databases.ts'
import { type Expected, STREAMED } from '../support/strict-token-endpoint.ts'

const SUBJECT = `${part({ alg: 'none' })}.${part({ sub: 'pod', exp: 4_000_000_000 })}.c2lnbmF0dXJl`
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const ASSERTED = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 })
const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' })

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function pem(pair: typeof RSA): string {
  return pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

interface Kind {
  readonly file: { readonly authorization_server?: object; readonly [field: string]: unknown }
  readonly expected: (origin: string) => Expected
  readonly env?: Record<string, string>
}

/** As mounted volumes have them: a link to what is there now, with what editors leave around a token. */
function subjectFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'subject-'))
  const path = join(folder, 'token')
  writeFileSync(join(folder, '1'), `\ufeff${SUBJECT}\n`)
  symlinkSync(join(folder, '1'), path)
  return path
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
    env: { SUBJECT: SUBJECT },
    file: {
      credential: 'token_exchange',
      authorization_server: { body: 'json', params: { identity_provider_id: 'idp_1' } },
      subject_token: 'env:SUBJECT',
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

const CALLERS = 20

for (const [name, kindOf] of Object.entries(KINDS)) {
  onEachDatabase(t, name, async (t: Test, database) => {
    const { file, expected, env = {} } = kindOf()
    const calls = await openTokenCalls(t, database, { file, expected, env })
    const { endpoint, broker, key, complete, replica } = calls
    endpoint.answerMs = 50
    t.same(await streamed(broker, key), STREAMED)
    t.same(endpoint.complaints, [])
    const brokers = [broker, await replica(), await replica()]
    await calls.endsIn(-1)
    const callers = Array.from({ length: CALLERS }, () => brokers.map((one) => complete(one))).flat()
    const statuses = (await Promise.all(callers)).map(({ status }) => status)
    t.same([...new Set(statuses)], [200])
    t.equal(endpoint.asked, 2)
    t.same(endpoint.complaints, [])
  })
}

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
