/** A login by authorization code in the console: a page of the provider's in a new tab, and back, by itself or by hand. */
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { approve } from '../onboarding/fixtures/code-login.ts'
import { CODE_CLIENT, startStrictCodeServer } from '../support/strict-code-server.ts'
import { violationsOf } from './fixtures/axe.ts'
import { go, signIn, type Visit, type VisitOptions, visit, withBrowser } from './fixtures/browser.ts'

const LOOPBACK = 'http://127.0.0.1:41837/callback'

async function connecting(t: Test, redirect: object = {}, context: VisitOptions['context'] = {}) {
  const server = await startStrictCodeServer(t)
  const authorization_server = { issuer: server.origin, client_id: CODE_CLIENT, scope: 'models', redirect }
  const coded = {
    credential: 'authorization_code',
    authorization_server,
    upstream: { base_url: `${server.origin}/v1`, models: ['m'] },
  }
  const config = JSON.stringify({ allow_insecure_loopback: true, providers: { coded } })
  const here = await visit(t, { config, context })
  server.registered.add(`${here.broker.origin}/oauth/callback/coded`).add(LOOPBACK)
  await signIn(here)
  await go(here, '#/connect/coded')
  await here.page.locator('form button.primary').click()
  await loginLink(here).waitFor()
  return { ...here, server }
}

const loginLink = ({ page }: Pick<Visit, 'page'>) =>
  page.getByRole('link', { name: /^(Open the login page|打开登录页面)/ })

/** Logs in there; the provider sends the tab on at once. */
async function logIn(here: Visit, ends: string): Promise<void> {
  const opened = here.page.context().waitForEvent('page')
  await loginLink(here).click()
  const tab = await opened
  await tab.getByRole('heading', { name: ends }).waitFor()
  await tab.close()
}

withBrowser(
  t,
  'a new account and an old one are logged in at the provider, and the page goes on by itself',
  async (t) => {
    const here = await connecting(t)
    const { page, problems, server } = here
    await page.getByText('coded is stored. What is left is its login.').waitFor()
    await logIn(here, 'Connected')
    await page.getByRole('heading', { name: 'coded is connected.', exact: true }).waitFor()
    await page.getByRole('link', { name: 'Details' }).click()
    await page.locator('.heading .badge.good', { hasText: 'Active' }).waitFor()
    await page.getByRole('link', { name: 'Log in again' }).click()
    await loginLink(here).waitFor()
    t.same(await violationsOf(page), [])
    await logIn(here, 'Connected')
    await page.getByText('coded is connected again.').waitFor()
    t.same(server.complaints, [])
    t.same(problems, [])
  },
)

withBrowser(t, 'a refusal is told where the login was begun, and a second try works', async (t) => {
  const here = await connecting(t)
  const { page, problems, server } = here
  server.answer = (params) => {
    params.delete('code')
    params.set('error', 'access_denied')
  }
  await logIn(here, 'That did not work')
  await page.getByRole('heading', { name: 'You refused the approval' }).waitFor()
  server.answer = () => {}
  await page.getByRole('button', { name: 'Try again' }).click()
  await logIn(here, 'Connected')
  await page.getByRole('heading', { name: 'coded is connected.', exact: true }).waitFor()
  t.same(problems, [])
})

withBrowser(
  t,
  'where the browser cannot come back the address is pasted, and a wrong one is said to be wrong',
  async (t) => {
    const here = await connecting(t, {
      callback: false,
      loopback: { host: '127.0.0.1', port: 41837, path: '/callback' },
    })
    const { page, problems } = here
    const ended = await approve({ body: { authorization_url: await loginLink(here).getAttribute('href') } })
    t.equal(ended.origin + ended.pathname, LOOPBACK)
    const field = page.getByLabel('Address of that page')
    const finish = page.getByRole('button', { name: 'Finish the login' })
    const foreign = new URL(ended)
    foreign.searchParams.set('state', randomBytes(32).toString('base64url'))
    await field.fill(foreign.href)
    await finish.click()
    await page
      .getByRole('alert')
      .filter({ hasText: 'This is not the address that this login ends at' })
      .waitFor()
    t.same(await violationsOf(page), [])
    await field.fill(ended.href)
    await finish.click()
    await page.getByRole('heading', { name: 'coded is connected.', exact: true }).waitFor()
    t.same(problems, [])
  },
)

withBrowser(t, 'another browser may end it by the pasted address, in Chinese on a phone too', async (t) => {
  const phone = { locale: 'zh-CN', viewport: { width: 390, height: 844 } }
  const here = await connecting(t, {}, phone)
  const { page, problems } = here
  const ended = await approve({ body: { authorization_url: await loginLink(here).getAttribute('href') } })
  t.equal(await page.getByLabel('该页面的地址').isVisible(), false, 'seldom needed')
  await page.getByText('登录后没有自动返回？').click()
  t.same(await violationsOf(page), [])
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 390, 'nothing sticks out')
  await page.getByLabel('该页面的地址').fill(ended.href)
  await page.getByRole('button', { name: '完成登录' }).click()
  await page.getByRole('heading', { name: 'coded 已连接。', exact: true }).waitFor()
  t.same(problems, [])
})
