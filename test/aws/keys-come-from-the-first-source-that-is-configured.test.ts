/**
 * Each source of AWS keys against a stand-in of what gives them out, which refuses what the real one would.
 */
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { Agent, type Dispatcher } from 'undici'
import { AwsKeySources } from '../../src/aws/aws-keys.ts'
import { Secret } from '../../src/base/secret.ts'
import type { AwsSigV4Config, AwsSource } from '../../src/provider/aws-sigv4.ts'
import { readAll } from '../gateway/fixtures/upstream.ts'
import { refusalOf } from '../support/aws-server.ts'

const EXPIRES = '2030-01-02T03:04:05Z'
const STATIC = { accessKeyId: 'AKIDSTATIC', secretAccessKey: 'static-secret', sessionToken: undefined }
const ALL: readonly AwsSource[] = ['inputs', 'env', 'web_identity', 'container', 'file', 'imds']

function keysOf(name: string) {
  return {
    accessKeyId: `ASIA${name}`,
    secretAccessKey: `secret/of+${name}`,
    sessionToken: `token&of<${name}>`,
    expiresAt: Date.parse(EXPIRES),
  }
}

function asXml(action: string, name: string): string {
  const escaped = (text: string) =>
    text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  const { accessKeyId, secretAccessKey, sessionToken } = keysOf(name)
  return `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${action}Result><Credentials>
    <AccessKeyId>${accessKeyId}</AccessKeyId><SecretAccessKey>${escaped(secretAccessKey)}</SecretAccessKey>
    <SessionToken>${escaped(sessionToken)}</SessionToken><Expiration>${EXPIRES}</Expiration>
    </Credentials></${action}Result></${action}Response>`
}

function asJson(name: string): string {
  const { accessKeyId, secretAccessKey, sessionToken } = keysOf(name)
  return JSON.stringify({
    Code: 'Success',
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    Token: sessionToken,
    Expiration: EXPIRES,
  })
}

/** Answers for whatever address it is asked in the place of. */
async function standIn(t: Test) {
  const asked: string[] = []
  let fail: { status: number; body?: string; location?: string } | undefined
  const answerTo = async (
    request: IncomingMessage,
    origin: string,
    body: Buffer,
  ): Promise<[number, string]> => {
    const { method, url = '', headers } = request
    const path = `${method} ${origin}${url}`
    if (origin.startsWith('https://sts.')) {
      const form = new URLSearchParams(body.toString())
      asked.push(`${origin} ${form.get('Action')} ${form.get('RoleArn')} ${form.get('ExternalId')}`)
      if (headers['content-type'] !== 'application/x-www-form-urlencoded') return [400, 'content type']
      if (form.get('Version') !== '2011-06-15' || !form.get('RoleSessionName')) return [400, 'form']
      if (form.get('Action') === 'AssumeRoleWithWebIdentity')
        return form.get('WebIdentityToken') === 'the.web.token' && !headers.authorization
          ? [200, asXml('AssumeRoleWithWebIdentity', 'web')]
          : [403, '<ErrorResponse><Error><Code>InvalidIdentityToken</Code></Error></ErrorResponse>']
      const region = /sts\.([^.]+)\./.exec(origin)?.[1] ?? ''
      const known = new Map(
        [STATIC, keysOf('web'), keysOf('instance')].map((keys) => [keys.accessKeyId, keys]),
      )
      const refusal = await refusalOf(request, body, known, { region, service: 'sts' })
      return refusal
        ? [403, `<Error><Code>SignatureDoesNotMatch</Code>${refusal}</Error>`]
        : [200, asXml('AssumeRole', 'role')]
    }
    asked.push(path)
    switch (path) {
      case 'GET http://169.254.170.2/v2/credentials/1':
        return [200, asJson('container')]
      case 'GET http://169.254.170.23/v1/credentials':
        return headers.authorization === 'pod-token' ? [200, asJson('pod')] : [401, '{"code":"Unauthorized"}']
      case 'PUT http://169.254.169.254/latest/api/token':
        return headers['x-aws-ec2-metadata-token-ttl-seconds'] ? [200, 'imds-token'] : [400, '']
      case 'GET http://169.254.169.254/latest/meta-data/iam/security-credentials/':
        return headers['x-aws-ec2-metadata-token'] === 'imds-token' ? [200, 'my-role\n'] : [401, '']
      case 'GET http://169.254.169.254/latest/meta-data/iam/security-credentials/my-role':
        return headers['x-aws-ec2-metadata-token'] === 'imds-token' ? [200, asJson('instance')] : [401, '']
    }
    return [404, '']
  }
  const server = createServer(async (request, response) => {
    const body = await readAll(request)
    const [status, text] = fail
      ? [fail.status, fail.body ?? '']
      : await answerTo(request, String(request.headers['x-origin']), body)
    response.writeHead(status, fail?.location ? { location: fail.location } : {}).end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const here = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const agent = new Agent()
  const dispatcher = agent.compose((dispatch) => (options, handler) => {
    const origin = String(options.origin)
    const headers = [...(options.headers as string[]), 'x-origin', origin, 'host', new URL(origin).host]
    return dispatch({ ...options, origin: here, headers }, handler)
  }) as Dispatcher
  t.teardown(async () => {
    await agent.close()
    server.close()
  })
  const sources = new AwsKeySources(() => dispatcher, Date.now, dispatcher)
  const failWith = (how: typeof fail) => {
    fail = how
  }
  return { asked, failWith, sources }
}

function configOf(
  more: Partial<AwsSigV4Config> & { variables?: Record<string, string> } = {},
): AwsSigV4Config {
  const { variables = {}, ...fields } = more
  return {
    region: 'eu-west-1',
    service: 'bedrock',
    sources: ALL,
    keys: undefined,
    roleArn: undefined,
    externalId: undefined,
    allowsUnsignedPayload: false,
    environment: new Map(Object.entries(variables)),
    secrets: new Map(Object.entries(variables).map(([name, text]) => [name, new Secret(text)])),
    ...fields,
  }
}

function files(t: Test) {
  const dir = t.testdir({
    token: '\uFEFFthe.web.token\n',
    empty: '',
    pod: 'pod-token\n',
    credentials:
      '[a]\naws_access_key_id=AKIDA\naws_secret_access_key=sa\n\n[ profile b ]\r\nAWS_ACCESS_KEY_ID = AKIDB\r\naws_secret_access_key = sb\r\naws_session_token=tb\r\n',
  })
  return (name: string) => `${dir}/${name}`
}

t.test('the first source that is configured gives the keys', async (t) => {
  const file = files(t)
  const { asked, sources } = await standIn(t)
  const web = { AWS_WEB_IDENTITY_TOKEN_FILE: file('token'), AWS_ROLE_ARN: 'arn:aws:iam::1:role/web' }
  const container = { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/1' }
  const pod = {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://169.254.170.23/v1/credentials',
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file('pod'),
  }
  const shared = { AWS_SHARED_CREDENTIALS_FILE: file('credentials'), AWS_PROFILE: 'b' }
  const env = { AWS_ACCESS_KEY_ID: 'AKIDENV', AWS_SECRET_ACCESS_KEY: 'se' }
  const noEnd = { expiresAt: undefined }
  const table: readonly (readonly [variables: Record<string, string>, keys: object, asked: number])[] = [
    [
      { ...shared, ...pod, ...web, ...env },
      { accessKeyId: 'AKIDENV', secretAccessKey: 'se', sessionToken: undefined, ...noEnd },
      0,
    ],
    [{ ...shared, ...pod, ...web }, keysOf('web'), 1],
    [{ ...shared, ...container }, keysOf('container'), 1],
    [{ ...shared, ...pod }, keysOf('pod'), 1],
    [shared, { accessKeyId: 'AKIDB', secretAccessKey: 'sb', sessionToken: 'tb', ...noEnd }, 0],
    [{}, keysOf('instance'), 3],
  ]
  for (const [variables, keys, times] of table) {
    asked.length = 0
    t.same(await sources.fetch(configOf({ variables })), keys)
    t.equal(asked.length, times, asked.join())
  }
  t.same(await sources.fetch(configOf({ keys: STATIC, variables: env })), { ...STATIC, ...noEnd })
  t.same(
    await sources.fetch(configOf({ sources: ['file'], variables: { ...env, ...shared, AWS_PROFILE: 'a' } })),
    {
      accessKeyId: 'AKIDA',
      secretAccessKey: 'sa',
      sessionToken: undefined,
      ...noEnd,
    },
  )
})

t.test('a role is taken on with them, in the region and with what its policy asks for', async (t) => {
  const { asked, sources } = await standIn(t)
  const role = { roleArn: 'arn:aws:iam::2:role/x', externalId: 'id-1' }
  t.same(await sources.fetch(configOf({ keys: STATIC, ...role })), keysOf('role'))
  t.same(
    await sources.fetch(configOf({ region: 'cn-north-1', ...role, externalId: undefined })),
    keysOf('role'),
  )
  t.same(asked, [
    'https://sts.eu-west-1.amazonaws.com AssumeRole arn:aws:iam::2:role/x id-1',
    ...asked.slice(1, 4),
    'https://sts.cn-north-1.amazonaws.com.cn AssumeRole arn:aws:iam::2:role/x null',
  ])
})

t.test('what goes wrong is told without a secret, and whether a person has to mend it', async (t) => {
  const file = files(t)
  const { failWith, sources } = await standIn(t)
  const web = { AWS_WEB_IDENTITY_TOKEN_FILE: file('token'), AWS_ROLE_ARN: 'r' }
  const table: readonly (readonly [
    Parameters<typeof failWith>[0],
    Record<string, string>,
    RegExp,
    boolean,
  ])[] = [
    [
      { status: 403, body: '<Error><Code>AccessDenied</Code><Message>the.web.token</Message></Error>' },
      web,
      /^STS: status 403 AccessDenied …$/,
      true,
    ],
    [
      { status: 400, body: '<Error><Code>Throttling</Code></Error>' },
      web,
      /^STS: status 400 Throttling$/,
      false,
    ],
    [{ status: 503 }, web, /^STS: status 503$/, false],
    [{ status: 429 }, web, /^STS: status 429$/, false],
    [{ status: 200, body: 'x'.repeat(1_000_000) }, web, /^STS answered without keys$/, false],
    [
      { status: 200, body: asXml('A', 'web').replace(EXPIRES, 'soon') },
      web,
      /^STS answered without keys$/,
      false,
    ],
    [{ status: 307, location: 'http://evil.example/' }, {}, /^the instance metadata: status 307$/, false],
    [{ status: 200, body: '../x' }, {}, /^the instance metadata names no role$/, true],
    [undefined, { ...web, AWS_WEB_IDENTITY_TOKEN_FILE: file('empty') }, /is empty$/, false],
    [
      undefined,
      { ...web, AWS_WEB_IDENTITY_TOKEN_FILE: file('gone') },
      /gone cannot be read \(ENOENT\)$/,
      false,
    ],
    [undefined, { AWS_SHARED_CREDENTIALS_FILE: file('credentials') }, /no keys of profile default$/, true],
    [undefined, { AWS_EC2_METADATA_DISABLED: 'TRUE' }, /^none of inputs, env, .* is configured$/, true],
    ...[
      'http://evil.example/x',
      'http://169.254.169.254/x',
      'http://a@127.0.0.1/',
      'file:///etc/passwd',
      'x',
    ].map(
      (AWS_CONTAINER_CREDENTIALS_FULL_URI) =>
        [undefined, { AWS_CONTAINER_CREDENTIALS_FULL_URI }, /is not an address for that$/, true] as const,
    ),
  ]
  for (const [how, variables, message, isRefusal] of table) {
    failWith(how)
    await t.rejects(sources.fetch(configOf({ variables })), { name: 'NoKeys', message, isRefusal })
  }
})

t.test('a web identity is read anew each time: it is replaced while the broker runs', async (t) => {
  const file = files(t)
  const { sources } = await standIn(t)
  const variables = { AWS_WEB_IDENTITY_TOKEN_FILE: file('token'), AWS_ROLE_ARN: 'r' }
  writeFileSync(file('token'), 'an.older.one')
  await t.rejects(sources.fetch(configOf({ variables })), {
    message: 'STS: status 403 InvalidIdentityToken',
    isRefusal: true,
  })
  rmSync(file('token'))
  writeFileSync(file('token'), 'the.web.token')
  t.same(await sources.fetch(configOf({ variables })), keysOf('web'))
})
