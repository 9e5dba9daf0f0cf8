/** What scripts and shells get from the command line. */
import { execFileSync, spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { COMMAND_WORDS } from '../../src/cli/command-line.ts'
import { startProcess } from '../support/broker-process.ts'
import { MAIN, sitDown } from '../support/desk.ts'

/** As the official client writes it. */
const CREDENTIALS = {
  ...{ access_token: 'a'.repeat(40), refresh_token: 'r'.repeat(40), token_type: 'Bearer' },
  ...{ resource_url: 'portal.qwen.ai', expiry_date: Date.now() + 3_600_000 },
}

function desk(t: Test, more: Record<string, string> = {}) {
  const { env, run } = sitDown(t)
  const said = async (...args: string[]) => {
    const ran = await run(args, '', more)
    return { ...ran, json: () => JSON.parse(ran.out) }
  }
  /** What `command` shows on a terminal of its own. */
  const terminal = (command: string) =>
    spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', env: { ...env, ...more } }).stdout
  return Object.assign(said, { env, terminal })
}

t.test('--json is one object a line, whatever the command', async (t) => {
  const run = desk(t)
  const { id, key } = (await run('keys', 'create', 'app', '--json')).json()
  t.match(key, /^sk-tb-/)
  t.match((await run('keys', 'list', '--json')).json(), [{ id, name: 'app', prefix: key.slice(0, 12) }])
  t.same((await run('keys', 'revoke', id, '--json')).json(), { id, revoked: true })
  t.same((await run('configs', 'list', '--json')).json(), [])
  t.match((await run('encryption-key', 'generate', '--json')).json(), { key: /=$/ })
  t.same((await run('encryption-key', 'rotate', '--json')).json(), { count: 0 })
  t.same((await run('migrate', '--json')).json(), { up_to_date: true })
  t.match((await run('status', '--json')).json(), { provider: 'qwen', logged_in: false })
  t.match((await run('logout', '--json')).json(), { logged_in: false })
  t.equal((await run('doctor', '--json')).out, '', 'no config, no line')
})

t.test('errors are objects too, and the exit code tells the kind', async (t) => {
  const run = desk(t)
  const failed = await run('keys', 'revoke', 'unknown', '--json')
  t.match(JSON.parse(failed.err), { error: { code: 'key_not_found', message: String, detail: String } })
  t.equal(failed.code, 1)
  t.equal((await run('no-such-command', '--json')).code, 2)
  t.equal((await run('keys', 'list', '--no-such-option')).code, 2)
  t.match(await run('token', '--json'), { code: 3, err: /credential_reauth_required/ })
})

t.test('colour is for terminals only', async (t) => {
  const file = `${t.testdir({ 'creds.json': JSON.stringify(CREDENTIALS) })}/creds.json`
  const states: string[] = []
  for (const [env, ...options] of [[{}], [{ FORCE_COLOR: '1' }], [{ FORCE_COLOR: '1' }, '--json']] as const) {
    const run = desk(t, env)
    t.equal((await run('import', file, '--name', 'mine')).code, 0)
    states.push((await run('configs', 'list', ...options)).out)
  }
  t.match(states[0], /mine {2}qwen {2}active$/m)
  t.ok(states[1]?.endsWith('mine  qwen  \u001b[32mactive\u001b[39m\n'))
  t.match(JSON.parse(states[2] ?? ''), [{ name: 'mine', provider: 'qwen', state: 'active' }])
})

t.test('NO_COLOR is respected on a terminal', async (t) => {
  const file = `${t.testdir({ 'creds.json': JSON.stringify(CREDENTIALS) })}/creds.json`
  const on = async (run: ReturnType<typeof desk>) => {
    await run('import', file, '--name', 'mine')
    return run.terminal(`'${process.execPath}' '${MAIN}' configs`)
  }
  t.match(await on(desk(t, { TERM: 'xterm' })), '\u001b[32mactive')
  t.match(await on(desk(t, { TERM: 'xterm', NO_COLOR: '1' })), /qwen {2}active/)
})

t.test('without more words keys and configs are listed, and an empty list says how to go on', async (t) => {
  const run = desk(t)
  t.match((await run('keys')).out, /no keys yet; keys create NAME/)
  for (const command of ['configs', 'doctor']) t.match((await run(command)).out, /no model configs yet/)
  const file = `${t.testdir({ 'creds.json': JSON.stringify(CREDENTIALS) })}/creds.json`
  const { id } = (await run('import', file, '--name', 'mine', '--json')).json()
  t.match((await run('configs')).out, /mine {2}qwen/)
  t.match((await run('keys', 'create', 'app', '--config', 'mine', '--json')).json(), { key: /^sk-tb-/ })
  t.match((await run('keys')).out, /app\n$/)
  t.match(await run('keys', 'create', 'app', '--config', 'nope'), { code: 1, err: /no such model config/ })
  t.match(await run('doctor', 'nope'), { code: 1, err: /no such model config/ })
  t.match((await run('doctor', id, '--json')).json(), { id, name: 'mine', ok: Boolean })
})

t.test('doctor reaches the sandbox of a broker that runs beside it', async (t) => {
  const run = desk(t)
  const broker = await startProcess(t, { env: { DATA_DIR: run.env.DATA_DIR } })
  await broker.practiceKey()
  t.match(await run('doctor'), { code: 0, out: /✓ sandbox: Everything works/ })
})

t.test('bash offers every command, its words and the options', async (t) => {
  const script = (await desk(t)('completion', 'bash')).out
  const offered = (...words: string[]) =>
    execFileSync(
      'bash',
      [
        '-c',
        `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _token_broker; echo "\${COMPREPLY[@]}"`,
        'x',
        ...words,
      ],
      { encoding: 'utf8' },
    ).trim()
  t.equal(offered('token-broker', ''), Object.keys(COMMAND_WORDS).join(' '))
  t.equal(offered('token-broker', 'st'), 'status')
  t.equal(offered('token-broker', 'keys', ''), 'list create rotate revoke')
  t.equal(offered('token-broker', 'keys', 'create', '--j'), '--json')
  t.equal(offered('token-broker', 'serve', ''), '')
})

for (const shell of ['zsh', 'fish'].filter(
  (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0,
)) {
  t.test(`${shell} can read its script`, async (t) => {
    const script = (await desk(t)('completion', shell)).out
    t.equal(spawnSync(shell, ['-n'], { input: script }).status, 0)
  })
}

t.test('the help names every command', async (t) => {
  const help = (await desk(t)('--help')).out
  for (const name of Object.keys(COMMAND_WORDS)) t.match(help, new RegExp(`^  ${name}\\b`, 'm'), name)
})
