import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { encode } from 'uqr'
import { approve } from '../onboarding/fixtures/code-login.ts'
import { CODE_CLIENT, startStrictCodeServer } from '../support/strict-code-server.ts'
import { decide, type VisitOptions, visit, withBrowser } from './fixtures/browser.ts'

/** A page of another host, with one script tag. */
async function hostPage(t: Test, html: (broker: string) => string) {
  let broker = ''
  const server = createServer((_, response) =>
    response
      .writeHead(200, { 'content-type': 'text/html' })
      .end(`<!doctype html><title>x</title>${html(broker)}`),
  )
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  t.teardown(() => server.close())
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`
  return {
    origin,
    of(address: string) {
      broker = address
    },
  }
}

const RECORD = `<script>window.heard = []
  for (const type of ['started', 'connected', 'failed']) addEventListener(type, (event) => heard.push([type, event.detail]))</script>`

async function embedded(t: Test, element: string, { env, context = {}, ...options }: VisitOptions = {}) {
  const host = await hostPage(
    t,
    (broker) => `${RECORD}<script type="module" src="${broker}/token-broker-connect.js"></script>${element}`,
  )
  const here = await visit(t, { ...options, context, env: { CORS_ORIGINS: host.origin, ...env } })
  host.of(here.broker.origin)
  await here.page.goto(host.origin)
  return here
}

/** A host page whose server begins and looks at the login of one account, as `beginLogin` and `lookAtLogin` of the docs. */
async function embeddedWithCode(t: Test, script: string) {
  const server = await startStrictCodeServer(t)
  const element = `<token-broker-connect name="coded"></token-broker-connect>${script}`
  const coded = {
    credential: 'authorization_code',
    authorization_server: { issuer: server.origin, client_id: CODE_CLIENT, scope: 'models' },
    upstream: { base_url: `${server.origin}/v1` },
  }
  const config = JSON.stringify({ allow_insecure_loopback: true, providers: { coded } })
  const here = await embedded(t, element, { config })
  const { broker, page } = here
  server.registered.add(`${broker.origin}/oauth/callback/coded`)
  const made = await broker.admin('POST', '/api/models/configs', {
    name: 'coded',
    provider: 'coded',
    models: [],
  })
  const path = `/api/models/configs/${made.body.id}/login`
  await page.route(/^http:\/\/localhost:\d+\/login/, async (route) => {
    const [, session] = new URL(route.request().url()).pathname.split('/login')
    const { status, body } = session
      ? await broker.admin('GET', path + session)
      : await broker.admin('POST', path)
    await route.fulfill({ status, json: session ? body : { ...body, callback: false } })
  })
  return { ...here, server }
}

/** The dark squares of a QR code, read back from the path it is drawn with. */
function modulesOf(path: string): string[] {
  return [...path.matchAll(/M(\d+) (\d+)h(\d+)/g)].flatMap(([, x, y, length]) =>
    Array.from({ length: Number(length) }, (_, n) => `${Number(x) + n},${y}`),
  )
}

function secondsOf(text: string | null): number {
  const [, minutes, seconds] = /(\d+):(\d\d)/.exec(text ?? '') ?? []
  return 60 * Number(minutes) + Number(seconds)
}

const heard = (page: Page) => page.evaluate<[string, Record<string, unknown>][]>('window.heard')

withBrowser(t, 'one script tag connects an account and tells the session, not the token', async (t) => {
  const { broker, page, problems } = await embedded(
    t,
    '<token-broker-connect provider="sandbox" name="the sandbox"></token-broker-connect>',
  )
  await page.getByRole('heading', { name: 'Connect the sandbox' }).waitFor()
  await page.getByRole('button', { name: 'Get a code' }).click()
  await decide(page, 'Approve')
  await page.getByRole('heading', { name: 'Connected' }).waitFor()
  const [started, connected] = await heard(page)
  t.equal(started?.[0], 'started')
  t.match(started?.[1]['user_code'], /^[A-Z]{4}-\d{4}$/)
  t.equal(connected?.[0], 'connected')
  t.same(Object.keys(connected?.[1] ?? {}).sort(), ['provider', 'session_id'])
  const bound = await broker.admin('POST', '/api/models/configs', {
    name: 'embedded',
    provider: 'sandbox',
    models: [],
    oauth_session_id: connected?.[1]['session_id'],
  })
  t.equal(bound.status, 201, 'the session is what a server binds')
  t.same(problems, [])
})

withBrowser(t, 'the code can be copied and scanned, and its time runs', async (t) => {
  const context = { permissions: ['clipboard-read', 'clipboard-write'] }
  const element = '<token-broker-connect provider="sandbox" auto></token-broker-connect>'
  const { page, problems } = await embedded(t, element, { context })
  const timer = page.getByRole('timer')
  const before = (await timer.textContent()) ?? ''
  await timer.filter({ hasNotText: before }).waitFor()
  t.ok(secondsOf(await timer.textContent()) < secondsOf(before), 'it counts down')
  await page.getByRole('button', { name: 'Copy the code' }).click()
  await page.getByText('Copied').waitFor()
  t.equal(await page.evaluate('navigator.clipboard.readText()'), await page.locator('output').textContent())

  const link = await page.getByRole('link', { name: 'Open the approval page' }).getAttribute('href')
  const qrCode = page.getByRole('img', { name: 'QR code of the approval page' })
  const drawn = modulesOf((await qrCode.locator('path').getAttribute('d')) ?? '')
  const { data } = encode(link ?? '', { ecc: 'M', border: 3 })
  t.same(
    drawn,
    data.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`${x},${y}`] : []))),
  )
  t.same(problems, [])
})

withBrowser(
  t,
  'an account that there is logs in by the page’s own server, as its documentation has it',
  async (t) => {
    const docs = readFileSync(new URL('../../docs/embedding.md', import.meta.url), 'utf8')
    const [, desk = ''] = /^```js\n(document[^`]*\.desk = \{.*?)^```$/ms.exec(docs) ?? []
    t.match(desk, 'begin:')
    const { page, broker, server, problems } = await embeddedWithCode(
      t,
      `<script type="module">${desk}</script>`,
    )
    await page.getByRole('button', { name: 'Log in', exact: true }).click()
    const link = page.getByRole('link', { name: /^Open the login page/ })
    const ended = await approve({ body: { authorization_url: await link.getAttribute('href') } })
    await page.getByLabel('Address of that page').fill(ended.href)
    await page.getByRole('button', { name: 'Finish the login' }).click()
    await page.getByRole('heading', { name: 'Connected' }).waitFor()
    const [started, connected] = await heard(page)
    t.match(started?.[1], { session_id: String, authorization_url: /^http/ })
    t.match(connected, ['connected', { session_id: started?.[1]['session_id'] }])
    const { items } = (await broker.admin('GET', '/api/models/configs?q=coded')).body
    t.match(items, [{ credential: { state: 'active' } }])
    t.same(server.complaints, [])
    t.same(problems, [])
  },
)

withBrowser(t, 'the token comes along only where it is asked for', async (t) => {
  const { page } = await embedded(
    t,
    '<token-broker-connect provider="sandbox" auto expose-token></token-broker-connect>',
  )
  await decide(page, 'Approve')
  await page.getByRole('heading', { name: 'Connected' }).waitFor()
  t.match((await heard(page))[1]?.[1]['token'], { access_token: String, token_type: 'Bearer' })
})

withBrowser(t, 'it speaks the language of its place and wears the colours of its page', async (t) => {
  const style =
    '<style>token-broker-connect { --tb-accent: rgb(1, 120, 90); --tb-radius: 2px } body { font-family: monospace }</style>'
  const { page } = await embedded(
    t,
    `${style}<div lang="zh-CN"><token-broker-connect provider="sandbox"></token-broker-connect></div>`,
  )
  await page.getByRole('button', { name: '获取验证码' }).waitFor()
  const styleOf = (property: string) =>
    page.evaluate(
      `getComputedStyle(document.querySelector('token-broker-connect').shadowRoot.querySelector('button')).${property}`,
    )
  t.equal(await styleOf('backgroundColor'), 'rgb(1, 120, 90)')
  t.equal(await styleOf('fontFamily'), 'monospace')
  await page.evaluate(`document.querySelector('token-broker-connect').lang = 'en'`)
  await page.getByRole('button', { name: 'Get a code' }).waitFor()
})

withBrowser(t, 'a page whose origin is not allowed gets no code', async (t) => {
  const element = '<token-broker-connect provider="sandbox" auto></token-broker-connect>'
  const { page } = await embedded(t, element, { env: { CORS_ORIGINS: 'https://other.example' } })
  await page.getByRole('heading', { name: 'That did not work' }).waitFor()
  t.same(
    (await heard(page)).map(([type, { code }]) => [type, code]),
    [['failed', 'unreachable']],
  )
})

withBrowser(t, 'the keyboard is enough', async (t) => {
  const { page } = await embedded(t, '<token-broker-connect provider="sandbox"></token-broker-connect>')
  const focused = () =>
    page.evaluate(
      `document.activeElement?.shadowRoot?.activeElement?.textContent.trim().replace(/\\s+/g, ' ')`,
    )
  await page.getByRole('button', { name: 'Get a code' }).waitFor()
  await page.keyboard.press('Tab')
  t.equal(await focused(), 'Get a code')
  await page.keyboard.press('Enter')
  await page.locator('output').waitFor()
  t.equal(await focused(), 'Your code')
  const order = []
  for (let presses = 0; presses < 3; presses += 1) {
    await page.keyboard.press('Tab')
    order.push(await focused())
  }
  t.same(order, ['Copy', 'Open the approval page↗ (opens in a new tab)', 'Cancel'])
  await page.keyboard.press('Enter')
  t.equal(await focused(), 'Connect sandbox')
})
