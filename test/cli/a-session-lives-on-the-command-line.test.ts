/** A web session without a server: brought along from a browser, looked at, renewed, handed out; and in an account. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { sessionsAt, sessionToken, startOpenWebUi } from '../seed/open-webui.ts'
import { sitDown } from '../support/desk.ts'

const USER = 'f4506b78-a768-4a55-89ac-c5fb61be7a08'
const DAY = 86_400_000

async function prepare(t: Test, renewsForDays: number) {
  const server = await startOpenWebUi(t, renewsForDays)
  const desk = sitDown(t, sessionsAt(server))
  const file = join(desk.home, '.one_dragon_alpha', 'qwen-chat_oauth_creds.json')
  return { ...desk, server, file, inFile: () => JSON.parse(readFileSync(file, 'utf8')) }
}

t.test('login, status, token, logout of one that is extended', async (t) => {
  const { run, server, file, inFile } = await prepare(t, 7)
  const token = sessionToken(5)
  t.match(await run(['token', 'qwen-chat']), { code: 3 })
  const login = await run(['login', 'qwen-chat'], `Bearer ${token}\n`)
  t.match(login, { code: 0, out: /Logged in.*qwen-chat_oauth_creds\.json/ })
  t.equal(statSync(file).mode & 0o777, 0o600)
  const status = JSON.parse((await run(['status', 'qwen-chat', '--json'])).out)
  t.match(status, { logged_in: true, is_expired: false, days_remaining: 5, user_id: USER })
  t.equal(status.issued_at, status.expires_at - 7 * DAY)
  t.match(await run(['token', 'qwen-chat']), { code: 0, out: `${token}\n` })
  t.equal(server.renewals.length, 0, 'more than 3 days left')

  await run(['login', 'qwen-chat'], sessionToken(2))
  const renewed = await run(['token', 'qwen-chat'])
  t.equal(renewed.code, 0)
  t.equal(renewed.out.trim(), inFile().access_token)
  t.equal(Math.round((inFile().expires_at - Date.now()) / DAY), 7)
  t.equal(server.renewals.length, 1)
  t.equal((await run(['token', 'qwen-chat'])).out, renewed.out)
  t.equal(server.renewals.length, 1)
  t.match(await run(['logout', 'qwen-chat']), { code: 0 })
  t.match(await run(['token', 'qwen-chat']), { code: 3 })
})

t.test(
  'one that is not extended is handed out as long as it is valid, and its server left alone',
  async (t) => {
    const { run, server } = await prepare(t, 0)
    const token = sessionToken(2)
    await run(['login', 'qwen-chat'], token)
    for (let i = 0; i < 2; i += 1) t.match(await run(['token', 'qwen-chat']), { code: 0, out: `${token}\n` })
    t.equal(server.renewals.length, 1, 'asked once in 24 hours')
    await run(['login', 'qwen-chat'], sessionToken(-1))
    t.match(await run(['token', 'qwen-chat']), { code: 3, err: /Log in again/ })
  },
)

t.test('a server that is away, or answers with pages, ends no session; one that says 401 does', async (t) => {
  const { run, server } = await prepare(t, 7)
  const token = sessionToken(2)
  await run(['login', 'qwen-chat'], token)
  for (let i = 0; i < 3; i += 1) server.mishaps.push({ status: 502, body: '<html>' })
  t.match(await run(['token', 'qwen-chat']), { code: 0, out: `${token}\n` })
  server.mishaps.push({ status: 401, body: '{"detail":"x"}' })
  t.match(await run(['token', 'qwen-chat']), { code: 3 })
  t.match(JSON.parse((await run(['status', 'qwen-chat', '--json'])).out), { logged_in: false })
})

t.test('a login that nothing renews is handed out as long as it is valid', async (t) => {
  const { run, home } = await prepare(t, 7)
  mkdirSync(join(home, '.one_dragon_alpha'))
  const file = join(home, '.one_dragon_alpha', 'qwen_oauth_creds.json')
  writeFileSync(file, JSON.stringify({ access_token: 'still-valid', expires_at: Date.now() + 120_000 }))
  t.match(await run(['token']), { code: 0, out: 'still-valid\n' })
  writeFileSync(file, JSON.stringify({ access_token: 'over', expires_at: Date.now() - 1 }))
  t.match(await run(['token']), { code: 3 })
})

t.test('one becomes an account, by import or by configs create, and its token comes back', async (t) => {
  const { run, home } = await prepare(t, 7)
  const exp = Math.floor((Date.now() + 6 * DAY) / 1000)
  const answer = { id: USER, name: 'User', token: sessionToken(6), token_type: 'Bearer', expires_at: exp }
  writeFileSync(join(home, 'auths.json'), JSON.stringify(answer))
  const file = ['import', join(home, 'auths.json'), '--provider', 'qwen-chat', '--name', 'from-answer']
  t.match(await run(file), { code: 0, out: /^[0-9a-f-]{36}\n$/, err: '' })
  t.match(await run(['token', '--config', 'from-answer']), { code: 0, out: `${answer.token}\n` })

  const token = sessionToken(2)
  const piped = ['import', '-', '--provider', 'qwen-chat', '--name', 'piped']
  t.match(await run(piped, `"${token}"`), { code: 0 }, 'as the storage view of a browser copies it')
  const renewed = await run(['token', '--config', 'piped'])
  t.equal(renewed.code, 0)
  t.not(renewed.out.trim(), token, 'refreshed, for it is due')

  const create = ['configs', 'create', 'made', '--provider', 'qwen-chat']
  t.match(await run(create, sessionToken(6)), { code: 0 })
  t.match(await run(['doctor', 'made']), {
    code: 0,
    out: new RegExp(`✓ made: Everything works[\\s\\S]*user ${USER}[\\s\\S]*days left`),
  })
  t.match(await run(piped, 'two words'), { code: 2, err: 'token-broker: -: holds no session token\n' })
  t.match(await run(['token', '--config', 'none']), { code: 1, err: /no such model config/ })
})
