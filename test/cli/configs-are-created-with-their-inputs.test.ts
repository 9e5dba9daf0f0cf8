/** `configs create` with what its provider's file asks for: no secret stands in the words of the call. */

import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { sitDown } from '../support/desk.ts'

const SECRET = 's3cret-of-a-client-0123456789'

/** A server of tenants, each with one client, whose tokens its models take. */
async function startTenant(t: Test) {
  const heard: string[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const isKnown = request.url?.endsWith('/token')
      ? body.includes(SECRET)
      : request.headers.authorization === 'Bearer a-token-0123456789'
    heard.push(`${request.url} ${request.headers['x-note'] ?? ''}`)
    const answer = request.url?.endsWith('/token')
      ? { access_token: 'a-token-0123456789', expires_in: 3600 }
      : { choices: [] }
    response.writeHead(isKnown ? 200 : 401, { 'content-type': 'application/json' })
    response.end(JSON.stringify(isKnown ? answer : { error: 'invalid_client' }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const inputs = {
    tenant: { label: { en: 'Tenant', zh: '租户' }, pattern: '^[a-z]+$' },
    client_secret: { label: { en: 'Client secret', zh: '客户端密钥' }, secret: true },
    note: { type: 'json', secret: true, required: false, members: { of: '^[a-z]+$' } },
  }
  const client = {
    token_endpoint: `${origin}/{tenant}/token`,
    client_id: 'app',
    client_secret: '{client_secret}',
  }
  const upstream = { base_url: `${origin}/{tenant}/v1`, headers: { 'x-note': '{note.of}' } }
  const authorization_server = { ...client, client_authentication: 'client_secret_post' }
  const one = { credential: 'client_credentials', inputs, authorization_server, upstream }
  const keyed = {
    credential: 'api_key',
    inputs: { tenant: inputs.tenant },
    upstream: { base_url: upstream.base_url },
  }
  const { client_secret: _, ...open } = client
  const login = {
    credential: 'device_code',
    inputs: { tenant: inputs.tenant },
    authorization_server: { ...open, device_authorization_endpoint: `${origin}/{tenant}/device` },
    upstream: { base_url: upstream.base_url },
  }
  const two = {
    ...one,
    inputs: { ...inputs, other: { secret: true } },
    upstream: { ...upstream, headers: { 'x-other': '{other}' } },
  }
  const config = JSON.stringify({
    allow_insecure_loopback: true,
    providers: { tenants: one, keyed, login, two },
  })
  return { heard, config }
}

const create = (name: string, provider: string, ...more: string[]) => [
  'configs',
  'create',
  name,
  '--provider',
  provider,
  '--model',
  'm',
  ...more,
]
const TENANT = ['--input', 'tenant=contoso']

t.test('from the command what may stand there, and secrets from a pipe, a variable or a file', async (t) => {
  const { heard, config } = await startTenant(t)
  const { run, home } = sitDown(t, config)
  const file = join(home, 'secret.txt')
  writeFileSync(file, `\ufeff${SECRET}\n`)
  writeFileSync(join(home, 'note.json'), '{"of": "me"}')
  const note = ['--input-file', `note=${join(home, 'note.json')}`]
  const ways: [name: string, args: string[], input: string, env: Record<string, string>][] = [
    ['piped', [], `${SECRET}\n`, {}],
    ['named', ['--input', 'client_secret=env:MY_SECRET'], '', { MY_SECRET: SECRET }],
    ['in-a-file', ['--input-file', `client_secret=${file}`], '', {}],
  ]
  for (const [name, args, input, env] of ways) {
    const made = await run(create(name, 'tenants', ...TENANT, ...args, ...note), input, env)
    t.match(made, { code: 0, out: /^[0-9a-f-]{36}\n$/, err: `doctor '${name}'` }, name)
  }
  t.match(await run(['doctor']), { code: 0 })
  t.same(
    heard,
    ways.flatMap(() => ['/contoso/token ', '/contoso/v1/chat/completions me']),
  )
  t.match(
    await run(create('key', 'keyed', ...TENANT), 'sk-0123456789abcdef'),
    { code: 0 },
    'a key beside them',
  )
  t.match(await run(create('person', 'login', ...TENANT)), { code: 0, err: '→ log it in, in the console\n' })
  t.match(await run(['configs']), { out: /person +login +missing/ })
})

t.test('what is wrong is said in one line, and nothing is made', async (t) => {
  const { config } = await startTenant(t)
  const { run } = sitDown(t, config)
  const wrong: [what: string, args: string[], input: string, expected: object][] = [
    [
      'nothing is said',
      create('x', 'tenants'),
      SECRET,
      { code: 1, err: /inputs\.tenant is needed for this provider/ },
    ],
    [
      'a value that does not fit',
      create('x', 'tenants', '--input', 'tenant=A B'),
      SECRET,
      { code: 1, err: /inputs\.tenant does not look as it should/ },
    ],
    [
      'an unknown input',
      create('x', 'tenants', '--input', 'tennant=a'),
      SECRET,
      { code: 2, err: /there is no input tennant; there are tenant, client_secret, note/ },
    ],
    [
      'an input of a file without',
      create('x', 'openai', '--input', 'a=b'),
      SECRET,
      { code: 2, err: /there is no input a: this provider asks for none/ },
    ],
    [
      'a secret in the command',
      create('x', 'tenants', ...TENANT, '--input', `client_secret=${SECRET}`),
      '',
      { code: 2, err: /Client secret \(input client_secret\) must not stand in the command/ },
    ],
    [
      'no secret',
      create('x', 'tenants', ...TENANT),
      '',
      { code: 2, err: /Client secret \(input client_secret\) is read from standard input, and nothing came/ },
    ],
    [
      'two from one pipe',
      create('x', 'two', ...TENANT),
      SECRET,
      { code: 2, err: /client_secret, other are needed, and only one of them can come from standard input/ },
    ],
    [
      'a file that is not there',
      create('x', 'tenants', '--input-file', 'note=/nowhere/n'),
      SECRET,
      { code: 2, err: /\/nowhere\/n, which is to hold note, cannot be read \(ENOENT\)/ },
    ],
  ]
  for (const [what, args, input, expected] of wrong) {
    const ran = await run(args, input)
    t.match(ran, expected, what)
    t.notMatch(ran.out + ran.err, SECRET, 'the secret is not repeated')
  }
  const zh = await run(create('x', 'two', ...TENANT), SECRET, { LANG: 'zh_CN.UTF-8' })
  t.match(zh.err, /需要 client_secret, other，而标准输入只能提供其中一个/)
  t.same(JSON.parse((await run(['configs', '--json'])).out), [])
})
