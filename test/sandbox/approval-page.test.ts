import { createHash } from 'node:crypto'
import t from 'tap'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import { askDeviceCode, fakeClock, poll, start } from './fixtures/client.ts'

async function view(sandbox: Sandbox, userCode: string) {
  const response = await fetch(`${sandbox.origin}/device?user_code=${encodeURIComponent(userCode)}`)
  const html = await response.text()
  return { response, html, formProof: /name="form_proof" value="([\w-]+)"/.exec(html)?.[1] ?? '' }
}

async function decide(sandbox: Sandbox, form: Record<string, string>, headers: Record<string, string> = {}) {
  const response = await fetch(`${sandbox.origin}/device`, {
    method: 'POST',
    body: new URLSearchParams(form),
    headers,
  })
  return { status: response.status, html: await response.text() }
}

t.test('a person opens the link and approves, or denies', async (t) => {
  const sandbox = await start(t)
  for (const [action, said, then] of [
    ['approve', /Approved/, undefined],
    ['deny', /Denied/, 'access_denied'],
  ] as const) {
    const { deviceCode, userCode, codeVerifier } = await askDeviceCode(sandbox)
    const { html, formProof } = await view(sandbox, userCode)
    t.match(html, userCode)
    t.match(html, /openid model\.completion/)
    const headers = { origin: sandbox.origin, 'sec-fetch-site': 'same-origin' }
    const answer = await decide(sandbox, { user_code: userCode, form_proof: formProof, action }, headers)
    t.equal(answer.status, 200)
    t.match(answer.html, said)
    t.equal((await poll(sandbox, deviceCode, codeVerifier)).body['error'], then)
  }
})

t.test('without a code it asks for one', async (t) => {
  const sandbox = await start(t)
  for (const path of ['/device', '/device?user_code=', '/device?user_code=a&user_code=b']) {
    const response = await fetch(sandbox.origin + path)
    t.equal(response.status, 200)
    t.match(await response.text(), /<input id="user_code"/)
  }
})

t.test('nothing may load, run or frame the page but its own style', async (t) => {
  const sandbox = await start(t)
  const { userCode } = await askDeviceCode(sandbox)
  const { response, html } = await view(sandbox, userCode)
  const policy = response.headers.get('content-security-policy') ?? ''
  const style = /<style>(.*?)<\/style>/s.exec(html)?.[1] ?? ''
  t.match(policy, `'sha256-${createHash('sha256').update(style).digest('base64')}'`)
  t.match(policy, /default-src 'none'/)
  t.match(policy, /frame-ancestors 'none'/)
  t.notMatch(policy, /unsafe|script-src/)
  t.notMatch(html, /<script|style=| on\w+=/)
  t.equal(response.headers.get('cache-control'), 'no-store')
})

t.test('whatever is typed or asked for comes back escaped', async (t) => {
  const sandbox = await start(t)
  const evil = `<script>alert(1)</script>"'&`
  t.notMatch((await view(sandbox, evil)).html, /<script>|"'&/)
  const { userCode } = await askDeviceCode(sandbox, `<img/src='x'>`)
  const { html } = await view(sandbox, userCode)
  t.match(html, /&lt;img\/src=&#39;x&#39;&gt;/)
  t.notMatch(html, /<img/)
})

t.test('unknown, expired and decided codes are said plainly', async (t) => {
  const { clock, advance } = fakeClock()
  const sandbox = await start(t, { clock, deviceCodeSeconds: 60 })
  const used = await askDeviceCode(sandbox)
  const { formProof } = await view(sandbox, used.userCode)
  await sandbox.deny(used.userCode)
  const old = await askDeviceCode(sandbox)
  const expect = async (userCode: string, status: number, said: RegExp) => {
    const seen = await view(sandbox, userCode)
    t.equal(seen.response.status, status)
    t.match(seen.html, said)
    const posted = await decide(sandbox, { user_code: userCode, form_proof: formProof, action: 'approve' })
    t.equal(posted.status, status)
    t.match(posted.html, said)
  }
  await expect('NOPE-0000', 404, /unknown/)
  await expect(used.userCode, 409, /already been used/)
  advance(60_000)
  await expect(old.userCode, 410, /expired/)
})

t.test('posts from elsewhere, without proof, or of another form decide nothing', async (t) => {
  const sandbox = await start(t)
  const { deviceCode, userCode, codeVerifier } = await askDeviceCode(sandbox)
  const other = await askDeviceCode(sandbox)
  const { formProof } = await view(sandbox, userCode)
  const othersProof = (await view(sandbox, other.userCode)).formProof
  const good = { user_code: userCode, form_proof: formProof, action: 'approve' }
  const { origin } = sandbox
  const cases: [Record<string, string>, Record<string, string>, number][] = [
    [{ ...good, form_proof: '' }, {}, 403],
    [{ ...good, form_proof: othersProof }, {}, 403],
    [good, { origin: 'https://evil.example' }, 403],
    [good, { origin: 'null' }, 403],
    [good, { origin, 'sec-fetch-site': 'cross-site' }, 403],
    [good, { origin, 'sec-fetch-site': 'same-site' }, 403],
    [{ ...good, action: 'own' }, {}, 400],
    [{ ...good, user_code: '' }, {}, 404],
    [good, { 'content-type': 'text/plain' }, 400],
  ]
  for (const [form, headers, status] of cases) {
    t.equal((await decide(sandbox, form, headers)).status, status)
    t.equal((await poll(sandbox, deviceCode, codeVerifier)).body['error'], 'authorization_pending')
  }
  t.equal((await decide(sandbox, good, { origin })).status, 200)
})

t.test("each page is in one language, the reader's", async (t) => {
  const sandbox = await start(t)
  const { userCode } = await askDeviceCode(sandbox)
  for (const path of ['/device', `/device?user_code=${userCode}`, '/device?user_code=unknown']) {
    const read = async (language: string) => {
      const response = await fetch(sandbox.origin + path, { headers: { 'accept-language': language } })
      return (await response.text()).replace(/<style>.*?<\/style>/s, '')
    }
    const [english, chinese] = [await read('de,en;q=0.5'), await read('zh-CN,zh;q=0.9,en;q=0.1')]
    t.match(english, '<html lang="en">')
    t.notMatch(english, /\p{Script=Han}/u, path)
    t.match(chinese, '<html lang="zh-CN">')
    t.match(chinese, /\p{Script=Han}/u)
    t.notMatch(chinese, /Code shown|Continue|Approve|Deny|unknown\./)
  }
})
