/**
 * Each cause that keeps a token call from bringing a token, as the vendors' servers tell it: at a token endpoint that is
 * strict about everything else, at STS, and at a metadata service that is not there.
 */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Agent, type Dispatcher } from 'undici'
import { CAUSES, type Cause } from '../../src/admin/causes.ts'
import { type Trouble, tokenTrouble } from '../../src/admin/token-trouble.ts'
import { AwsKeySources } from '../../src/aws/aws-keys.ts'
import type { Environment } from '../../src/base/environment.ts'
import type { AwsSigV4Config } from '../../src/provider/aws-sigv4.ts'
import type { Provider } from '../../src/provider/provider.ts'
import { providerOf } from '../provider/fixtures/file.ts'
import { openWire } from '../provider/fixtures/wire.ts'
import { startBroker } from '../support/broker.ts'
import { type Expected, type Said, startStrictEndpoint } from '../support/strict-token-endpoint.ts'

const DIR = mkdtempSync(join(tmpdir(), 'doctor-'))
const KEY = generateKeyPairSync('rsa', { modulusLength: 2048 })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()
const HOUR_S = 3_600

/** @param seconds until it ends */
function jwt(seconds: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { iss: 'https://cluster.example', sub: 'system:serviceaccount:ai:broker', aud: 'api://mine' }
  return `${part({ alg: 'RS256' })}.${part({ ...claims, exp: Math.floor(Date.now() / 1000) + seconds })}.c2lnbmF0dXJl`
}

/** @param age of the file, in seconds */
function file(name: string, content: string, age = 0): { file: string } {
  const path = join(DIR, name)
  writeFileSync(path, content)
  const at = Date.now() / 1000 - age
  utimesSync(path, at, at)
  return { file: path }
}

function says(error: string, error_description: string, status = 401): Said {
  return { status, body: { error, error_description } }
}

const BASIC = `Basic ${Buffer.from('app:s3cret').toString('base64')}`
const SECRET = { client_id: 'app', client_secret: 's3cret' }
const isJwt = (value: string) => (value.split('.').length === 3 ? undefined : 'is no JWT')
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'

const BY_SECRET = { credential: 'client_credentials', authorization_server: SECRET }
const SECRETLY: Expected = { parameters: { grant_type: 'client_credentials' }, authorization: BASIC }
const byFile = (subject: object) => ({
  credential: 'token_exchange',
  authorization_server: {},
  subject_token: subject,
})
const TRADING: Expected = {
  parameters: { grant_type: EXCHANGE, subject_token: isJwt, subject_token_type: JWT_TYPE },
}
const byAssertion = (client_assertion: object) => ({
  credential: 'client_credentials',
  authorization_server: { client_id: 'app', client_assertion },
})
const ASSERTING: Expected = {
  parameters: {
    grant_type: 'client_credentials',
    client_id: 'app',
    client_assertion: isJwt,
    client_assertion_type: ASSERTION,
  },
}
const SIGNING = {
  credential: 'jwt_bearer',
  authorization_server: {},
  subject_token: {
    signed_jwt: {
      algorithm: 'RS256',
      key: file('key', KEY),
      claims: { iss: 'me', aud: 'https://oauth2.example/token' },
    },
  },
}
const SIGNED: Expected = { parameters: { grant_type: BEARER, assertion: isJwt } }

interface Row {
  readonly seen: string
  readonly provider: object
  readonly expected: Expected
  /** Undefined: it is not asked. */
  readonly answer?: Said
  /** Of the server's clock against ours, in seconds. */
  readonly skew?: number
  readonly code: Cause
  readonly checks?: object[]
}

const refused = (words: RegExp) => ({ name: 'refresh', ok: false, detail: words })

const ROWS: Row[] = [
  {
    seen: 'a secret that ran out, at Entra ID',
    ...{ provider: BY_SECRET, expected: SECRETLY, code: 'secret_expired' },
    answer: says('invalid_client', 'AADSTS7000222: The provided client secret keys for app are expired.'),
    checks: [refused(/AADSTS7000222/)],
  },
  {
    seen: 'a secret that ran out, elsewhere',
    ...{ provider: BY_SECRET, expected: SECRETLY, code: 'secret_expired' },
    answer: says('invalid_client', 'The client secret has expired'),
    skew: 500,
  },
  {
    seen: 'a wrong secret, and a clock that has nothing to do with it',
    ...{ provider: BY_SECRET, expected: SECRETLY, code: 'credential_refused' },
    answer: says('invalid_client', 'AADSTS7000215: Invalid client secret provided.'),
    skew: 500,
    checks: [refused(/AADSTS7000215/), { name: 'clock', ok: false }],
  },
  {
    seen: 'a clock that is behind, at Google',
    ...{ provider: SIGNING, expected: SIGNED, code: 'clock_skew' },
    answer: says(
      'invalid_grant',
      'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.',
      400,
    ),
    skew: 412,
    checks: [
      refused(/invalid_grant \(its clock is 4[01]\d s ahead\) Invalid JWT/),
      { name: 'source', ok: true, detail: 'subject_token: signed here, aud https://oauth2.example/token' },
      {
        name: 'clock',
        ok: false,
        detail: /^the clock of this machine is 4[01]\d s behind the server's$/,
        detail_zh: /^本机时钟比服务器慢 4[01]\d 秒$/,
      },
    ],
  },
  {
    seen: 'a clock that is ahead, in no words at all',
    ...{ provider: SIGNING, expected: SIGNED, code: 'clock_skew' },
    answer: { status: 400, body: { error: 'invalid_grant' } },
    skew: -90,
    checks: [
      refused(/behind/),
      {},
      { name: 'clock', detail: /^the clock of this machine is (9\d|1\d\d) s ahead of the server's$/ },
    ],
  },
  {
    seen: 'an assertion of ours that Entra ID finds out of time',
    provider: {
      credential: 'client_credentials',
      authorization_server: { client_id: 'app', private_key: file('key', KEY) },
    },
    ...{ expected: ASSERTING, code: 'clock_skew' },
    answer: says('invalid_client', 'AADSTS700024: Client assertion is not within its valid time range.'),
    skew: 700,
  },
  {
    seen: 'the same, of a file that nobody has renewed',
    ...{
      provider: byAssertion(file('ended', jwt(-900), 2 * HOUR_S)),
      expected: ASSERTING,
      code: 'identity_expired',
    },
    answer: says('invalid_client', 'AADSTS700024: Client assertion is not within its valid time range.'),
    checks: [
      refused(/AADSTS700024/),
      {
        name: 'source',
        ok: false,
        detail:
          /^authorization_server\.client_assertion: a JWT that ended 9\d\d s ago, its file was written 72\d\d s ago, iss https:\/\/cluster\.example, sub system:serviceaccount:ai:broker, aud api:\/\/mine$/,
        detail_zh: /JWT 已于 9\d\d 秒前到期, 文件写于 72\d\d 秒前/,
      },
    ],
  },
  {
    seen: 'a file whose token is over, in no words at all',
    ...{ provider: byFile(file('over', jwt(-60))), expected: TRADING, code: 'identity_expired' },
    answer: { status: 400, body: { error: 'invalid_grant' } },
  },
  {
    seen: 'a token that lives, and that Google finds too old',
    ...{ provider: byFile(file('old', jwt(HOUR_S))), expected: TRADING, code: 'identity_expired' },
    answer: says('invalid_grant', 'ID Token issued at 1651760455 is stale to sign-in.', 400),
    checks: [{}, { name: 'source', ok: true }],
  },
  {
    seen: 'a wrong audience, at Google',
    ...{ provider: byFile(file('aud', jwt(HOUR_S))), expected: TRADING, code: 'wrong_audience' },
    answer: says(
      'invalid_grant',
      'The audience in ID Token [api://mine] does not match the expected audience.',
      400,
    ),
    checks: [{}, { name: 'source', ok: true, detail: /aud api:\/\/mine/ }],
  },
  {
    seen: 'a wrong audience, at Entra ID',
    ...{ provider: byAssertion(file('aud', jwt(HOUR_S))), expected: ASSERTING, code: 'wrong_audience' },
    answer: says(
      'invalid_client',
      "AADSTS700212: No matching federated identity record found for presented assertion audience 'api://mine'.",
    ),
  },
  {
    seen: 'a wrong audience, in RFC 8693',
    ...{ provider: byFile(file('aud', jwt(HOUR_S))), expected: TRADING, code: 'wrong_audience' },
    answer: { status: 400, body: { error: 'invalid_target' } },
  },
  {
    seen: 'an identity that Entra ID knows nothing of',
    ...{ provider: byAssertion(file('sub', jwt(HOUR_S))), expected: ASSERTING, code: 'identity_unknown' },
    answer: says(
      'invalid_client',
      "AADSTS700213: No matching federated identity record found for presented assertion subject 'x'.",
    ),
    checks: [{}, { name: 'source', detail: /sub system:serviceaccount:ai:broker/ }],
  },
  {
    seen: 'a service account that it may not be, at Google',
    ...{ provider: byFile(file('may', jwt(HOUR_S))), expected: TRADING, code: 'not_permitted' },
    answer: {
      status: 403,
      body: {
        error: {
          code: 403,
          message:
            "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
          status: 'PERMISSION_DENIED',
        },
      },
    },
  },
  {
    seen: 'a file that is not there',
    ...{ provider: byFile({ file: '/nowhere/token' }), expected: TRADING, code: 'source_missing' },
    checks: [refused(/subject_token: the file cannot be read \(ENOENT\)/)],
  },
  {
    seen: 'a variable that is not set',
    ...{ provider: byFile({ file: 'env:NOBODY_SETS_THIS' }), expected: TRADING, code: 'source_missing' },
    checks: [refused(/NOBODY_SETS_THIS is not set/)],
  },
  {
    seen: 'no metadata service',
    provider: byFile({ metadata: 'http://127.0.0.1:9/identity' }),
    ...{ expected: TRADING, code: 'no_metadata_service' },
    checks: [refused(/the metadata service cannot be reached/)],
  },
]

t.test('at a token endpoint', async (t) => {
  const endpoint = await startStrictEndpoint(t, {})
  const { origin } = endpoint
  const providers = ROWS.map(({ provider }, index) => {
    const server = {
      ...(provider as { authorization_server: object }).authorization_server,
      token_endpoint: `${origin}/token`,
    }
    const upstream = { base_url: `${origin}/v1` }
    return [`p${index}`, { ...provider, authorization_server: server, upstream }]
  })
  const broker = await startBroker(t, {
    config: JSON.stringify({ allow_insecure_loopback: true, providers: Object.fromEntries(providers) }),
  })
  for (const [index, { seen, expected, answer, skew = 0, code, checks = [] }] of ROWS.entries()) {
    endpoint.expected = expected
    const { asked } = endpoint
    // Only to a request that is as it should be.
    endpoint.answer = () => ({
      ...answer,
      headers: { date: new Date(Date.now() + skew * 1000).toUTCString() },
    })
    const account = { name: `a${index}`, provider: `p${index}`, models: [{ model_id: 'm' }] }
    const made = await broker.admin('POST', '/api/models/configs', account)
    const { body } = await broker.admin('POST', `/api/models/configs/${made.body.id}/diagnose`)
    t.match(body, { ok: false, code, upstream_status: null, checks }, seen)
    const { english, chinese, advice, adviceChinese, next } = CAUSES[code]
    t.match(
      body,
      { cause: english, cause_zh: chinese, advice, advice_zh: adviceChinese, next_action: next },
      seen,
    )
    t.same(endpoint.complaints, [], seen)
    t.equal(endpoint.asked - asked, answer ? 1 : 0, seen)
  }
})

interface AwsRow {
  readonly seen: string
  /** Of `aws_sigv4` in the file. */
  readonly with?: object
  readonly answer: { status: number; code: string; message: string; skew?: number }
  readonly sends: RegExp
  readonly cause: Cause
  readonly checks?: object[]
}

const WEB = { credentials: ['web_identity'] }
const ROLE = { credentials: ['env'], role_arn: 'arn:aws:iam::1:role/models' }
const AWS_ROWS: AwsRow[] = [
  {
    seen: 'a role that it may not take on',
    with: ROLE,
    answer: {
      status: 403,
      code: 'AccessDenied',
      message:
        'User: arn:aws:iam::1:user/jo is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::1:role/models',
    },
    sends: /Action=AssumeRole&RoleArn=arn/,
    cause: 'not_permitted',
  },
  {
    seen: 'a web identity that the role does not trust',
    with: WEB,
    answer: {
      status: 403,
      code: 'AccessDenied',
      message: 'Not authorized to perform sts:AssumeRoleWithWebIdentity',
    },
    sends: /Action=AssumeRoleWithWebIdentity/,
    cause: 'not_permitted',
    checks: [
      {
        name: 'source',
        ok: true,
        detail: /^AWS_WEB_IDENTITY_TOKEN_FILE: a JWT that ends in .* aud api:\/\/mine$/,
      },
    ],
  },
  {
    seen: 'a web identity for somebody else',
    with: WEB,
    answer: { status: 400, code: 'InvalidIdentityToken', message: 'Incorrect token audience' },
    sends: /Action=AssumeRoleWithWebIdentity/,
    cause: 'wrong_audience',
  },
  {
    seen: 'an issuer that AWS was not told of',
    with: WEB,
    answer: {
      status: 400,
      code: 'InvalidIdentityToken',
      message: 'No OpenIDConnect provider found in your account for https://cluster.example',
    },
    sends: /Action=AssumeRoleWithWebIdentity/,
    cause: 'identity_unknown',
  },
  {
    seen: 'a web identity that is over',
    with: WEB,
    answer: { status: 400, code: 'ExpiredTokenException', message: 'Token too old: 441398' },
    sends: /Action=AssumeRoleWithWebIdentity/,
    cause: 'identity_expired',
  },
  {
    seen: 'a signature out of time',
    with: ROLE,
    answer: {
      status: 403,
      code: 'SignatureDoesNotMatch',
      message: 'Signature expired: 20261128T120000Z is now earlier than 20261128T121500Z',
      skew: 900,
    },
    sends: /Action=AssumeRole&/,
    cause: 'clock_skew',
    checks: [{ name: 'clock', ok: false, detail: /^the clock of this machine is (8[89]\d|90\d) s behind/ }],
  },
]

const AWS_ENV = {
  AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'secret',
  AWS_ROLE_ARN: 'arn:aws:iam::1:role/models',
}

function awsProvider(aws: object, env: Environment) {
  const aws_sigv4 = { region: 'eu-west-1', service: 'bedrock-mantle', ...aws }
  return providerOf(
    { credential: 'aws_sigv4', aws_sigv4, upstream: { base_url: 'https://models.example.com/v1' } } as never,
    env,
  )
}

async function troubleWith(provider: Provider, sts: Dispatcher, machine = sts): Promise<Trouble> {
  const sources = new AwsKeySources(() => sts, Date.now, machine)
  const why = await sources.fetch(provider.awsSigV4 as AwsSigV4Config).then(
    () => 'there are keys',
    (error: Error) => error.message,
  )
  return tokenTrouble(why, provider, Date.now())
}

t.test('at STS', async (t) => {
  const wire = await openWire(t)
  const env = { ...AWS_ENV, AWS_WEB_IDENTITY_TOKEN_FILE: file('web', jwt(HOUR_S)).file }
  for (const { seen, with: aws = {}, answer, sends, cause, checks = [] } of AWS_ROWS) {
    const { status, code, message, skew = 0 } = answer
    const date = new Date(Date.now() + skew * 1000).toUTCString()
    const body = `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error></ErrorResponse>`
    wire.answers = [{ status, headers: { date }, body }]
    t.match(await troubleWith(awsProvider(aws, env), wire.dispatcher), { cause, checks }, seen)
    t.match(wire.requests.splice(0).join(), sends, seen)
  }
})

t.test('on a machine of no cloud', async (t) => {
  const nobody = new Agent({ connect: (_, callback) => callback(new Error('ENETUNREACH'), null) })
  t.match(await troubleWith(awsProvider({ credentials: ['imds'] }, {}), nobody), {
    cause: 'no_metadata_service',
  })
  const step = {
    url: 'http://169.254.169.254/metadata/identity/oauth2/token',
    method: 'GET',
    response: { token: '/access_token' },
  }
  const managed = providerOf({ credential: 'token_request', token_request: [step], upstream: {} } as never)
  t.match(await tokenTrouble('ENETUNREACH', managed, Date.now()), {
    cause: 'no_metadata_service',
    checks: [],
  })
  t.match(
    await tokenTrouble('status 500', managed, Date.now()),
    { cause: undefined },
    'one that answers is there',
  )
})

t.test('at the model endpoint', async (t) => {
  let answer: (request: IncomingMessage, response: ServerResponse) => void = () => {}
  const server = createServer((request, response) => answer(request.resume(), response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const base = { base_url: `${origin}/v1` }
  const broker = await startBroker(t, {
    config: JSON.stringify({
      allow_insecure_loopback: true,
      providers: {
        signed: {
          credential: 'signed_jwt',
          signed_jwt: { algorithm: 'RS256', key: file('key', KEY) },
          upstream: base,
        },
        client: {
          ...BY_SECRET,
          authorization_server: { ...SECRET, token_endpoint: `${origin}/token` },
          upstream: base,
        },
      },
    }),
  })
  const rows: [
    seen: string,
    provider: string,
    status: number,
    body: object,
    skew: number,
    code: Cause,
    checks: object[],
  ][] = [
    [
      'Bedrock',
      'signed',
      403,
      { message: 'User: arn:aws:iam::1:user/jo is not authorized to perform: bedrock:InvokeModel' },
      0,
      'not_permitted',
      [],
    ],
    [
      'Vertex AI',
      'client',
      403,
      {
        error: {
          code: 403,
          message: "Permission 'aiplatform.endpoints.predict' denied on resource",
          status: 'PERMISSION_DENIED',
        },
      },
      0,
      'not_permitted',
      [],
    ],
    [
      'Azure OpenAI',
      'client',
      401,
      { error: { code: 'PermissionDenied', message: 'The principal `x` lacks the required data action' } },
      0,
      'not_permitted',
      [],
    ],
    [
      'Azure OpenAI, of another resource',
      'client',
      401,
      { error: { code: '401', message: 'Token audience https://management.azure.com/ is not right' } },
      0,
      'wrong_audience',
      [],
    ],
    [
      'one that says of a fresh token that it has expired',
      'client',
      401,
      { error: { message: 'The access token has expired' } },
      0,
      'fresh_token_refused',
      [],
    ],
    [
      'Snowflake, of another time',
      'signed',
      401,
      { code: '390144', message: 'JWT token is invalid.' },
      120,
      'clock_skew',
      [{ name: 'clock', detail: /1[12]\d s behind/ }],
    ],
    [
      'Snowflake, of another key',
      'signed',
      401,
      { code: '390144', message: 'JWT token is invalid.' },
      0,
      'fresh_token_refused',
      [],
    ],
  ]
  for (const [seen, provider, status, body, skew, code, checks] of rows) {
    answer = (request, response) => {
      const isToken = request.url === '/token'
      const date = new Date(Date.now() + skew * 1000).toUTCString()
      response.writeHead(isToken ? 200 : status, { 'content-type': 'application/json', date })
      response.end(
        JSON.stringify(isToken ? { access_token: `a-token-${Math.random()}`, expires_in: 3600 } : body),
      )
    }
    const made = await broker.admin('POST', '/api/models/configs', {
      name: seen,
      provider,
      models: [{ model_id: 'm' }],
    })
    const { body: found } = await broker.admin('POST', `/api/models/configs/${made.body.id}/diagnose`)
    t.match(found, { ok: false, code, upstream_status: status, next_action: CAUSES[code].next }, seen)
    const clock = found.checks.filter(({ name }: { name: string }) => name === 'clock')
    t.match(clock, checks, seen)
    t.equal(clock.length, checks.length, seen)
  }
})
