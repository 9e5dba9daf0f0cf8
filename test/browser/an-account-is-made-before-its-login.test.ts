/** A login whose server depends on what the account says: form, account, login, connected; and the same way again. */
import t, { type Test } from 'tap'
import { startTenants, tenantProviders } from '../admin/fixtures/tenants.ts'
import { go, signIn, type Visit, type VisitOptions, visit, withBrowser } from './fixtures/browser.ts'

async function atForm(t: Test, context: VisitOptions['context'] = {}) {
  const tenants = await startTenants(t)
  const here = await visit(t, { config: tenantProviders(tenants.origin), context })
  await signIn(here)
  await go(here, '#/connect/tenants-login')
  /** As the person does on the vendor's page: whatever codes there are by now. */
  const approve = () => {
    for (const [at, { url }] of tenants.heard.entries()) {
      const [, tenant, what] = url.split('/')
      if (what === 'device') tenants.approved.add(`device-code-of-${tenant}-${at + 1}-0123456789`)
    }
  }
  return { ...here, tenants, approve }
}

const codeIsShown = ({ page }: Pick<Visit, 'page'>) =>
  page.locator('token-broker-connect output', { hasText: 'ABCD' }).waitFor()

withBrowser(t, 'form, account, login, connected; and again where its inputs say', async (t) => {
  const here = await atForm(t)
  const { broker, page, problems, tenants, approve } = here
  t.equal(
    await page.getByRole('button', { name: 'Get a code' }).count(),
    0,
    'no login before its form is filled in',
  )
  await page.getByLabel('Name').fill('one')
  await page.getByLabel('Tenant').fill('contoso')
  await page.getByRole('button', { name: 'Connect' }).click()
  await page.getByText('one is stored. What is left is its login.').waitFor()
  await codeIsShown(here)
  t.ok(tenants.heard.some(({ url }) => url === '/contoso/device'))
  approve()
  await page.getByRole('heading', { name: 'one is connected.', exact: true }).waitFor()
  await page.getByRole('link', { name: 'Details' }).click()
  await page.locator('.heading .badge.good', { hasText: 'Active' }).waitFor()

  await page.getByRole('link', { name: 'Log in again' }).click()
  await codeIsShown(here)
  approve()
  await page.getByText('one is connected again.').waitFor()
  await page.locator('.audit li', { hasText: 'Login asked for' }).first().waitFor()
  const { items } = (await broker.admin('GET', '/api/models/configs')).body
  t.same(
    items.map(({ name, credential }: { name: string; credential: { state: string } }) => [
      name,
      credential.state,
    ]),
    [['one', 'active']],
  )
  t.same(problems, [])
})

withBrowser(t, 'a login that is given up leaves an account that says what it needs', async (t) => {
  const here = await atForm(t)
  const { page, problems, approve } = here
  await page.getByLabel('Name').fill('one')
  await page.getByLabel('Tenant').fill('contoso')
  await page.getByRole('button', { name: 'Connect' }).click()
  await codeIsShown(here)
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('link', { name: 'Overview' }).first().click()
  await page.getByText('1 account needs you').waitFor()
  await page.getByRole('link', { name: 'Log in again: one' }).click()
  await codeIsShown(here)
  approve()
  await page.getByText('one is connected again.').waitFor()
  t.same(problems, [])
})

withBrowser(
  t,
  'what is wrong with an input is said at its form, and the server’s refusal at its login',
  async (t) => {
    const here = await atForm(t, { locale: 'zh-CN' })
    const { page, problems } = here
    await page.getByLabel('名称').fill('one')
    await page.getByLabel('租户').fill('NO')
    await page.getByRole('button', { name: '连接', exact: true }).click()
    await page.locator('form .note.bad', { hasText: 'inputs.tenant' }).waitFor()
    await page.getByLabel('租户').fill('contoso')
    await page.route('**/login', (route) =>
      route.fulfill({
        status: 502,
        json: {
          code: 'device_authorization_failed',
          message: '服务器没有给出验证码',
          detail: '服务器没有给出验证码',
        },
      }),
    )
    await page.getByRole('button', { name: '连接', exact: true }).click()
    await page.getByText('one 已保存，还需完成登录。').waitFor()
    await page.getByText('服务器没有给出验证码', { exact: true }).waitFor()
    await page.unroute('**/login')
    await page.getByRole('button', { name: '重试' }).click()
    await codeIsShown(here)
    await page.locator('token-broker-connect .progress', { hasText: '等待授权中' }).waitFor()
    t.same(problems, [])
  },
)
