/** What servers, rows and files say of themselves, on a terminal: it moves no cursor, turns no line around, begins none. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { jwt, startScriptedServer } from '../oauth/fixtures/scripted-server.ts'
import { sitDown } from '../support/desk.ts'

/** Clears the screen, in two ways; turns the line around; another line, by two kinds of line end. */
const EVIL = '\u001b[2J\u009b2J\u202eevil\u2028\u0085✓ fine\r\u007f'
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const HIDDEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/

async function desk(t: Test) {
  const server = await startScriptedServer(t)
  const endpoint = {
    device_authorization_endpoint: `${server.origin}/device`,
    token_endpoint: `${server.origin}/token`,
    client_id: 'c',
  }
  const upstream = { base_url: `${server.origin}/v1`, models: ['m'] }
  const providers = {
    qwen: { authorization_server: endpoint, upstream },
    keyed: { credential: 'api_key', upstream },
  }
  const config = JSON.stringify({ allow_insecure_loopback: true, providers }) // JSON is YAML
  const { home, run } = sitDown(t, config)
  return { server, home, run: (...args: string[]) => run(args) }
}

function innocent(t: Test, text: string, what: string): void {
  t.equal(HIDDEN.exec(text)?.[0], undefined, what)
  t.notMatch(text, /^\s*✓ fine/m, `${what}: no line of theirs`)
}

t.test('a login whose server writes its codes and refusals so', async (t) => {
  const { server, run } = await desk(t)
  const device = {
    device_code: 'dc',
    user_code: `AB\n✓ fine${EVIL}`,
    verification_uri: `https://login.example/${EVIL}`,
    verification_uri_complete: `https://login.example/?${EVIL}`,
    expires_in: 60,
    interval: 1,
  }
  const refusal = { error: 'access_denied', error_description: EVIL }
  for (const options of [[], ['--json']]) {
    server.script({ body: device }, { status: 400, body: refusal })
    const { out, err } = await run('login', ...options)
    innocent(t, out, `shown ${options}`)
    innocent(t, err, `told ${options}`)
    t.match(out, /login\.example/)
    if (options.length > 0)
      t.equal(JSON.parse(out).user_code, device.user_code, 'programs read what was sent')
    server.script({ status: 400, body: { error: `odd${EVIL}`, error_description: EVIL } })
    const failed = await run('login', ...options)
    t.equal(failed.code, 1)
    innocent(t, failed.out + failed.err, `no code ${options}`)
  }
})

t.test('a file of tokens, and a config whose endpoint answers so', async (t) => {
  const { server, home, run } = await desk(t)
  const folder = join(home, '.one_dragon_alpha')
  mkdirSync(folder)
  const access_token = jwt({ id: EVIL, exp: 4_000_000_000 })
  const file = join(folder, 'qwen_oauth_creds.json')
  const tokens = { access_token, refresh_token: 'r', token_type: 'Bearer', expiry_date: 4e12 }
  writeFileSync(file, JSON.stringify({ ...tokens, resource_url: EVIL }), { mode: 0o600 })
  for (const options of [[], ['--json']]) {
    const { code, out, err } = await run('status', ...options)
    t.equal(code, 0)
    innocent(t, out + err, `status ${options}`)
  }
  writeFileSync(file, JSON.stringify(tokens), { mode: 0o600 })
  t.match(await run('import', file, '--name', `mine${EVIL}`), { code: 0 })
  server.script({ status: 400, body: { error: { message: `\n✓ fine\n${EVIL}` } } })
  for (const options of [[], ['--json']]) {
    for (const command of ['doctor', 'configs']) {
      const { out, err } = await run(command, ...options)
      t.match(out, /mine/)
      innocent(t, out + err, `${command} ${options}`)
    }
  }
  const unknown = await run(`no${EVIL}`, '--json')
  innocent(t, unknown.out + unknown.err, 'an unknown command')
})
