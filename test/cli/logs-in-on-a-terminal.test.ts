/** The command line, as processes of its own, against the sandbox in the place of Qwen. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/sandbox.ts'
import { generateFernetKey } from '../../src/vault/fernet.ts'
import { type Ran, sitDown as sitDownAt } from '../support/desk.ts'
import { watch } from '../support/secret-search.ts'

interface Desk {
  readonly sandbox: Sandbox
  readonly home: string
  /** The JSON file of the login. */
  readonly file: string
  run(args: string[], env?: Record<string, string>, onOutput?: (out: string) => void): Promise<Ran>
}

async function sitDown(t: Test, options: SandboxOptions = {}): Promise<Desk> {
  const sandbox = await startSandbox({ onSecret: watch, ...options })
  t.teardown(() => sandbox.close())
  const desk = sitDownAt(
    t,
    `allow_insecure_loopback: true
providers:
  qwen:
    authorization_server:
      device_authorization_endpoint: ${sandbox.origin}/oauth/device/code
      token_endpoint: ${sandbox.origin}/oauth/token
      client_id: token-broker-sandbox
    upstream: { base_url: "${sandbox.origin}/v1", models: [sandbox-model] }
`,
  )
  const { home } = desk
  const run: Desk['run'] = (args, env, onOutput) => desk.run(args, '', env, onOutput)
  return { sandbox, home, file: join(home, '.one_dragon_alpha', 'qwen_oauth_creds.json'), run }
}

/** Approves or denies as soon as the code is shown. */
async function logIn(desk: Desk, decision: 'approve' | 'deny' = 'approve'): Promise<Ran> {
  let isDecided = false
  return desk.run(['login'], {}, (out) => {
    const code = /The code is (\S+)/.exec(out)?.[1]
    if (!code || isDecided) return
    isDecided = true
    void desk.sandbox[decision](code)
  })
}

t.test('login, status, token, logout', async (t) => {
  const desk = await sitDown(t)
  t.match(await desk.run(['token'], { LANG: 'zh_CN.UTF-8' }), { code: 3, err: /请重新登录/ })
  t.match(await desk.run(['status', '--json']), { code: 0, out: /"logged_in":false/ })

  const login = await logIn(desk)
  t.equal(login.code, 0)
  t.match(login.out, /█|▄|▀/, 'a QR code')
  t.match(login.out, /Logged in/)
  t.equal(statSync(desk.file).mode & 0o777, 0o600)
  const file = JSON.parse(readFileSync(desk.file, 'utf8'))
  t.match(file, { access_token: /.{40}/, refresh_token: /.{40}/, token_type: 'Bearer', expires_at: Number })

  const token = await desk.run(['token'])
  t.equal(token.out.trim(), file.access_token)
  const models = await fetch(`${desk.sandbox.origin}/v1/models`, {
    headers: { authorization: `Bearer ${token.out.trim()}` },
  })
  t.equal(models.status, 200)
  const status = await desk.run(['status'])
  t.match(status.out, /logged in +true/)
  t.notMatch(
    status.out + login.out,
    new RegExp(file.access_token),
    'the token itself is shown by `token` alone',
  )

  t.equal((await desk.run(['logout'])).code, 0)
  t.equal((await desk.run(['token'])).code, 3)
})

t.test('two processes that find a token due refresh it once', async (t) => {
  const desk = await sitDown(t, { accessTokenSeconds: 3_600 })
  await logIn(desk)
  const file = JSON.parse(readFileSync(desk.file, 'utf8'))
  writeFileSync(desk.file, JSON.stringify({ ...file, expires_at: Date.now() - 1 }), { mode: 0o600 })
  const ran = await Promise.all([1, 2, 3].map(() => desk.run(['token'])))
  t.equal(new Set(ran.map(({ out }) => out)).size, 1)
  t.not(ran[0]?.out.trim(), file.access_token)
  t.match(desk.sandbox.counts, { refreshGrants: 1, reusesDetected: 0 })
})

t.test('denial and a dead login are told as such', async (t) => {
  const desk = await sitDown(t)
  t.match(await logIn(desk, 'deny'), { code: 1, err: /The user refused the authorization/ })
  await logIn(desk)
  await desk.sandbox.revokeFamilies()
  const file = JSON.parse(readFileSync(desk.file, 'utf8'))
  writeFileSync(desk.file, JSON.stringify({ ...file, expires_at: 1 }), { mode: 0o600 })
  t.match(await desk.run(['token'], { LANG: 'zh_CN.UTF-8' }), { code: 3, err: /请重新登录/ })
  t.match(await desk.run(['status', '--json']), { out: /"logged_in":false/ }, 'and the file is cleared')
})

t.test('the official client’s file becomes a config, and doctor looks at it', async (t) => {
  const desk = await sitDown(t)
  await logIn(desk)
  const { access_token, refresh_token, expires_at } = JSON.parse(readFileSync(desk.file, 'utf8'))
  const creds = join(desk.home, 'oauth_creds.json')
  writeFileSync(
    creds,
    JSON.stringify({ access_token, refresh_token, expiry_date: expires_at, token_type: 'Bearer' }),
  )
  const imported = await desk.run(['import', creds, '--name', 'mine'])
  t.match(imported, { code: 0, out: /^[0-9a-f-]{36}\n$/, err: /through the broker only/ })
  t.match(await desk.run(['configs', 'list']), { out: /mine +qwen +active/ })
  t.match(await desk.run(['doctor', 'mine']), { code: 0, out: /✓ mine: Everything works/ })
  desk.sandbox.faults.next('upstream', { status: 403, body: { error: { code: 'quota_exceeded' } } })
  t.match(await desk.run(['doctor', 'mine']), {
    code: 1,
    out: /✗ mine: The quota is used up\n[\s\S]*✗ completion: 403 [\s\S]*→ Wait, or use another config\n/,
  })
  t.match(await desk.run(['import', creds, '--name', 'mine']), { code: 1, err: /already in use/ })
  t.match(await desk.run(['import', join(desk.home, 'none')]), { code: 2, err: /ENOENT/ })
  t.match(await desk.run(['import', join(desk.home, 'config.yaml')]), {
    code: 2,
    err: /not a credentials file/,
  })
})

t.test('keys are made, listed and revoked; the encryption key is rotated', async (t) => {
  const desk = await sitDown(t)
  const [old, current] = [generateFernetKey(), generateFernetKey()]
  await logIn(desk)
  const only = { TOKEN_ENCRYPTION_KEY: old }
  t.equal((await desk.run(['import', desk.file, '--name', 'mine'], only)).code, 0)
  t.match(await desk.run(['keys', 'create', 'app'], only), { code: 0, out: /^sk-tb-[\w-]{43}\n$/ })
  const [id = ''] = (await desk.run(['keys', 'list'], only)).out.split(' ')
  t.match(await desk.run(['keys', 'revoke', id], only), { code: 0 })
  t.match(await desk.run(['keys', 'revoke', id], only), { code: 1, err: /no such API key/ })

  const both = { TOKEN_ENCRYPTION_KEY: `${current},${old}` }
  t.match(await desk.run(['encryption-key', 'rotate'], both), { code: 0, out: /^2 values/ })
  t.match(await desk.run(['encryption-key', 'rotate'], both), { code: 0, out: /^0 values/ })
  t.match(await desk.run(['doctor'], { TOKEN_ENCRYPTION_KEY: current }), { code: 0, out: /Everything works/ })
})

t.test('what is typed wrong is answered with what can be typed', async (t) => {
  const desk = await sitDown(t)
  t.match(await desk.run(['frobnicate']), {
    code: 2,
    err: /no command frobnicate[\s\S]*token-broker COMMAND/,
  })
  t.match(await desk.run(['login', 'nobody']), { code: 2, err: /no provider nobody/ })
  t.match(await desk.run(['login', 'azure-openai-device']), { code: 1, err: /account with its inputs first/ })
  t.match(await desk.run(['serve'], { PORT: 'x' }), { code: 1, err: /^token-broker: PORT must be/ })
  const config = join(desk.home, 'typo.yaml')
  writeFileSync(config, 'providers:\n  qwen:\n    upstream: { base: https://a.example }\n')
  t.match(await desk.run(['serve'], { CONFIG_FILE: config }), {
    code: 1,
    err: /^token-broker: \S+\/typo\.yaml:3: upstream\.base is not a known name; known here: base_url, .*\n$/,
  })
  t.match(await desk.run(['--help']), { code: 0, out: /encryption-key/ })
})
