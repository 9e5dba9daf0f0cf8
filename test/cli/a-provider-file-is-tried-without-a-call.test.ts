/**
 * `provider check FILE`: the mistakes of a start, and what would be sent, by the code that sends it: of every shipped file
 * the golden request that its token call is, with placeholders where it has secrets.
 */
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { checkProvider } from '../../src/cli/provider-check/check.ts'
import type { Call } from '../../src/cli/provider-check/rehearsal.ts'

import { readInput } from '../../src/provider/inputs.ts'
import type { CredentialKind, Provider } from '../../src/provider/provider.ts'
import { readConfig } from '../../src/settings/config.ts'
import { Canary } from '../support/canary.ts'
import { sitDown } from '../support/desk.ts'

const GOLDEN = new URL('../provider/golden/', import.meta.url)
const NOW = 1_800_000_000_000
const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()
const inString = (text: string) => JSON.stringify(text).slice(1, -1)

const { providers } = readConfig(
  {
    DATA_DIR: t.testdir(),
    SUBJECT_TOKEN_FILE: '/nowhere/token',
    AZURE_FEDERATED_TOKEN_FILE: '/nowhere/token',
  },
  { sandboxOrigin: 'http://127.0.0.1' },
)

/** A golden file with placeholders in the place of what nobody is to see. */
function masked(requests: string, provider: Provider, inputs: Readonly<Record<string, string>>): string {
  let text = requests
  for (const input of provider.inputs.filter(({ isSecret }) => isSecret)) {
    const { text: whole, members } = readInput(input, inputs[input.name] ?? '')
    const named = [
      [input.name, whole] as const,
      ...[...members].map(([name, value]) => [`${input.name}.${name}`, value] as const),
    ]
    for (const [name, value] of named)
      text = text
        .replaceAll(/Basic ([\w+/=]+)/g, (basic, pair) => {
          const plain = Buffer.from(pair, 'base64').toString()
          const shown = plain.replace(encodeURIComponent(value), `{${name}}`)
          return pair === value || shown === plain ? basic : `Basic base64(${shown})`
        })
        .replaceAll(new URLSearchParams([['', value]]).toString().slice(1), `{${name}}`)
        .replaceAll(value, `{${name}}`)
        .replaceAll(inString(value), `{${name}}`)
  }
  return text
    .replace(/Credential=\w+(.*Signature=)[0-9a-f]{64}/, 'Credential={access_key}$1{signature}')
    .replaceAll('client_assertion=the.subject.token', 'client_assertion={client_assertion}')
    .replaceAll('the.subject.token', '{subject_token}')
    .replaceAll('sts-token', '{sts.token}')
    .replaceAll("the-login's-token", '{login.token}')
    .replaceAll('<fingerprint>', '{private_key.fingerprint}')
    .replaceAll(/(login\.example\.com\/realms\/staff\/)(token|device|auth)\b/g, (_, realm, path) => {
      return `${realm}{${DISCOVERED[path]}}`
    })
    .replaceAll('broker.example.com', '{PUBLIC_URL}')
    .replaceAll('=the-code', '={code}')
    .replaceAll(/(state|code_verifier)=<\w+>/g, '$1={$1}')
}

/** What only the server says. */
const DISCOVERED: Record<string, string> = {
  token: 'token_endpoint',
  device: 'device_authorization_endpoint',
  auth: 'authorization_endpoint',
}

/** As golden files write it. */
function textOf({ for: purpose, method, url, headers, body }: Call): string {
  const lines = Object.entries(headers).filter(([name]) => name !== 'user-agent')
  const asked = [
    `${method} ${url}`,
    ...lines.map(([name, value]) => `${name}: ${value}`).sort(),
    '',
    body,
  ].join('\n')
  const text = purpose === 'browser' ? `BROWSER ${url}` : asked
  return text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
    .replace(/\b(state|code_challenge|code_verifier)=[\w-]{43}(?![\w-])/g, '$1=<$1>')
}

function ofPurpose(calls: readonly Call[], purpose: string): Call[] {
  return calls.filter((call) => call.for === purpose)
}

/** How a login begins, and of one in two steps what its token is traded with. */
function loginCalls(calls: readonly Call[], { tokenRequest = [] }: Provider): Call[] {
  const traded = ofPurpose(calls, 'token').slice(1)
  const redeemed = ofPurpose(calls, 'code').slice(-1)
  return [
    ...ofPurpose(calls, 'login'),
    ...ofPurpose(calls, 'browser'),
    ...redeemed,
    ...traded.slice(0, tokenRequest.length),
  ]
}

for (const provider of providers.values()) {
  t.test(`${provider.name} would send what its golden file has`, async (t) => {
    const file = new URL(`${provider.name}.http`, GOLDEN)
    const [first = '{}', ...lines] = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
    const written = first
      .replace('<key>', () => inString(inString(PEM)))
      .replace('<pem>', () => inString(PEM))
    const { inputs = {} } = JSON.parse(written)
    const { calls, trouble, lacking } = await checkProvider(
      provider,
      new Map(Object.entries<string>(inputs)),
      () => NOW,
    )
    t.same([lacking, trouble], [[], undefined])
    const above = calls.filter((call) => call.for.startsWith('/v1'))
    t.equal(above.length > 0, provider.upstream.baseUrl !== undefined, 'and a completion, where any go up')
    if (!existsSync(file)) return
    const isLogin = ['device_code', 'authorization_code'].includes(provider.kind)
    const golden = isLogin ? loginCalls(calls, provider) : ofPurpose(calls, 'token')
    const signed = above[0]?.headers['authorization']?.replace('Bearer ', '')
    const token = provider.signedJwt ? [signed] : golden.map(textOf)
    t.equal(`${token.join('\n\n')}\n`, masked(lines.join('\n'), provider, inputs))
  })
}

const SERVER = 'authorization_server'
const at = (port: number) => `http://127.0.0.1:${port}`

/** A file for each kind, with a secret wherever one can be: of the environment, of a file, of an input, in the file itself. */
function everyKind(port: number, secretFile: string): Record<CredentialKind, object> {
  const endpoint = { token_endpoint: `${at(port)}/token`, client_id: 'app' }
  const upstream = { base_url: `${at(port)}/v1` }
  const inputs = { key: { secret: true, default: 'env:OF_INPUT' }, region: { choices: ['eu', 'us'] } }
  const step = { url: `${at(port)}/token`, response: { token: '/a/0/token', keep: { p: '/p' } } }
  const key = { file: secretFile }
  return {
    device_code: {
      [SERVER]: {
        ...endpoint,
        device_authorization_endpoint: `${at(port)}/device`,
        client_secret: 'env:OF_ENV',
      },
      upstream: { ...upstream, headers: { 'x-api-key': WRITTEN } },
    },
    authorization_code: {
      [SERVER]: { ...endpoint, authorization_endpoint: `${at(port)}/authorize`, client_secret: WRITTEN },
      upstream,
    },
    client_credentials: {
      inputs,
      [SERVER]: {
        ...endpoint,
        private_key: key,
        algorithm: 'ES256',
        headers: { 'x-client-secret': WRITTEN },
      },
      upstream: { ...upstream, headers: { 'x-tenant': '{key}', 'x-region': '{region}' } },
    },
    token_exchange: {
      [SERVER]: { ...endpoint, client_secret: WRITTEN, body: 'json', params: { client_secret: WRITTEN } },
      subject_token: {
        token_request: [
          {
            ...{ url: `${at(port)}/other/token`, form: { a: 'b' }, response: { token: { text: true } } },
            sign: {
              dialect: 'aws',
              region: 'r',
              service: 's',
              access_key: 'env:AWS_ACCESS_KEY_ID',
              secret_key: key,
            },
          },
        ],
      },
      upstream: { ...upstream, auth: { query: 'access_token' } },
    },
    jwt_bearer: {
      [SERVER]: { ...endpoint, client_assertion: 'env:OF_ENV' },
      subject_token: { signed_jwt: { algorithm: 'HS256', key, claims: { iss: 'me' } } },
      upstream,
    },
    token_request: {
      inputs,
      subject_token: 'env:OF_ENV',
      token_request: [
        { ...step, name: 'idp', basic: { user: '{region}', password: '{key}' }, form: { password: WRITTEN } },
        {
          ...step,
          query: { flag: '', app_secret: WRITTEN },
          basic: { user: '{key}', password: WRITTEN },
          json: {
            token: '{idp.token}',
            of: '{idp.p}',
            deep: [{ secret: WRITTEN }],
            again: '{subject_token}',
          },
        },
      ],
      upstream,
    },
    session: { session: { refresh_endpoint: `${at(port)}/auths/` }, upstream },
    signed_jwt: {
      inputs,
      signed_jwt: { algorithm: 'HS256', key: '{key}', claims: { sub: '{region}' } },
      upstream,
    },
    aws_sigv4: {
      aws_sigv4: {
        region: 'eu-west-1',
        service: 's',
        credentials: ['env'],
        role_arn: 'arn:aws:iam::1:role/r',
      },
      upstream,
    },
    api_key: { upstream: { ...upstream, query: { 'api-key': WRITTEN } } },
  }
}

const WRITTEN = 'written-in-the-file-itself-0123'
const SECRETS = {
  OF_ENV: 'of-the-environment-0123456789',
  AWS_ACCESS_KEY_ID: 'AKIAOFTHEENVIRONMENT',
  AWS_SECRET_ACCESS_KEY: 'aws-secret-of-the-environment',
  AWS_SESSION_TOKEN: 'aws-session-of-the-environment',
  OF_INPUT: 'of-an-input-0123456789',
}

t.test('every kind is shown, no secret is, and nobody is called', async (t) => {
  let calls = 0
  const server = createServer((socket) => {
    calls += 1
    socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const secretFile = join(t.testdir({ secret: 'of-a-file-0123456789' }), 'secret')
  const canary = new Canary()
  for (const [name, value] of Object.entries({ ...SECRETS, WRITTEN, FILE: 'of-a-file-0123456789' }))
    canary.watch(name, value)
  const { run, home } = sitDown(t)
  const kinds = Object.entries(everyKind((server.address() as AddressInfo).port, secretFile))
  const file = join(home, 'every.yaml')
  const providers = kinds.map(([kind, content]) => [
    kind.replaceAll('_', '-'),
    { credential: kind, ...content },
  ])
  writeFileSync(
    file,
    JSON.stringify({ allow_insecure_loopback: true, providers: Object.fromEntries(providers) }),
  )
  const words = await run(['provider', 'check', file], '', SECRETS)
  const json = await run(['provider', 'check', file, '--json'], '', SECRETS)
  t.match(
    [words, json],
    [
      { code: 0, err: '' },
      { code: 0, err: '' },
    ],
  )
  t.same(canary.foundIn(words.out + json.out), [])
  const shown = words.out.split(/^(?=✓)/m)
  t.same([shown.length, json.out.trim().split('\n').length], [kinds.length, kinds.length])
  for (const [index, [kind]] of kinds.entries()) {
    const text = shown[index] ?? ''
    t.match(text.split('\n')[0], `: ${kind.replaceAll('_', '-')}, ${kind}`)
    t.match(text, /^POST .*\/v1\/chat\/completions/m, kind)
    t.match(text, kind === 'api_key' ? 'Bearer {api_key}' : /\/token|\/auths\/|sts\.|HS256/, kind)
    t.match(JSON.parse(json.out.split('\n')[index] ?? '').calls.at(-1), { for: '/v1/chat/completions' })
  }
  t.equal(calls, 0)
})

t.test('whatever a file is called and holds, it writes nothing to the terminal but text', async (t) => {
  const { run, home } = sitDown(t)
  const controls = '\u001b[2J\u009b5m\u202e'
  const file = join(home, `mine${controls}.yaml`)
  const upstream = {
    ...{ base_url: 'https://models.invalid/v1', models: [`${controls}.invalid`] },
    headers: { 'x-model': 'a' },
  }
  writeFileSync(file, JSON.stringify({ credential: 'api_key', label: controls, upstream }))
  for (const args of [[], ['--json']]) {
    const { code, out } = await run(['provider', 'check', file, ...args])
    t.match([code, out], [0, /u001b\[2J.*u009b5m.*u202e/])
    for (const control of ['\u001b', '\u009b', '\u202e']) t.notMatch(out, control)
  }
})

t.test('what is wrong is one line with place and way out, and an exit code', async (t) => {
  const { run, home } = sitDown(t)
  const check = async (text: string, ...args: string[]) => {
    writeFileSync(join(home, 'mine.yaml'), text)
    return run(['provider', 'check', join(home, 'mine.yaml'), ...args])
  }
  const good =
    'credential: api_key\ninputs:\n  region: { pattern: "^[a-z]+$", example: EU1 }\nupstream:\n  base_url: https://{region}.example.com/v1\n'
  const own = `providers:\n  mine:\n${good.replace(/^/gm, '    ')}`
  const line = (code: number, err: RegExp) => ({
    code,
    out: '',
    err: new RegExp(`^token-broker: [^\\n]*${err.source}[^\\n]*\\n$`),
  })
  const wrong: [what: string, text: string, args: string[], expected: object][] = [
    ['no YAML', 'a: [', [], line(1, /mine\.yaml:1: /)],
    [
      'an unknown word',
      good.replace('base_url', 'base'),
      [],
      line(1, /mine\.yaml:5: upstream\.base is not a known name/),
    ],
    [
      'an open host',
      good.replace('.example.com', '.com'),
      [],
      line(1, /mine\.yaml:5: upstream\.base_url leaves its host open/),
    ],
    [
      'in a CONFIG_FILE, too',
      own.replace('.example.com', '.com'),
      [],
      line(1, /mine\.yaml:7: upstream\.base_url leaves its host open/),
    ],
    [
      'a variable that is not set',
      'credential: client_credentials\nauthorization_server: { token_endpoint: "https://a.example/t", client_id: a, client_secret: env:GONE }\nupstream: {}\n',
      [],
      line(1, /mine\.yaml:2: authorization_server\.client_secret reads GONE, which is not set/),
    ],
    [
      'an unknown input',
      good,
      ['--input', 'regoin=eu'],
      line(2, /there is no input regoin; there are region/),
    ],
    ['half an input', good, ['--input', 'region'], line(2, /--input is written NAME=/)],
    [
      'a value that does not fit',
      good,
      ['--input', 'region=EU1'],
      line(2, /mine: input region does not look as it should.*--input region=/),
    ],
    [
      'a secret in the command',
      good
        .replace('pattern: "^[a-z]+$", example: EU1', 'secret: true')
        .replace('{region}.', 'a.')
        .replace('upstream:', 'upstream:\n  headers: { x-r: "{region}" }'),
      ['--input', 'region=s3cret'],
      line(2, /must not stand in the command/),
    ],
    [
      'a file that is not there',
      good,
      ['--input-file', 'region=/nowhere/x'],
      line(2, /\/nowhere\/x, which is to hold region, cannot be read \(ENOENT\)/),
    ],
    [
      'a certificate that is not there',
      'credential: client_credentials\nauthorization_server: { token_endpoint: "https://a.example/t", client_id: a, private_key: { file: /nowhere/k }, certificate: { file: /nowhere/c } }\nupstream: { base_url: "https://b.example/v1" }\n',
      [],
      { code: 1, out: /✗ .*\n\n→ authorization_server\.certificate: the file cannot be read \(ENOENT\)\n$/ },
    ],
  ]
  for (const [what, text, args, expected] of wrong) t.match(await check(text, ...args), expected, what)
  const placeholder = await check(good)
  t.match(placeholder, { code: 0, out: 'POST https://{region}.example.com/v1/chat/completions' })
  const said = await check(good, '--input', 'region=eu')
  t.match(said, { code: 0, out: 'POST https://eu.example.com/v1/chat/completions' })
  t.match(await run(['provider']), { code: 2, err: /provider takes check/ })
  t.match(await run(['provider', 'check']), { code: 2, err: /provider check needs one file/ })
  const zh = await run(['provider', 'check', join(home, 'mine.yaml'), '--input', 'x=1'], '', {
    LANG: 'zh_CN.UTF-8',
  })
  t.match(zh, { code: 2, err: /没有参数 x；现有：region/ })
  const shipped = (name: string) =>
    fileURLToPath(new URL(`../../config/providers/${name}.yaml`, import.meta.url))
  const template = await run(['provider', 'check', shipped('entra-id')])
  t.match(template, { code: 0, out: /a template: CONFIG_FILE is to say\nproviders:\n {2}entra-id:/ })
  const session = await run(['provider', 'check', shipped('qwen-chat')], '', { LANG: 'zh_CN.UTF-8' })
  t.match(session, { code: 0, out: /未设置 upstream\.base_url/ })
})
