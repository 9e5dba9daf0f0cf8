/** A broker that is away for a moment ends no session and needs no reload. */
import t from 'tap'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

withBrowser(t, 'the page comes back by itself', async (t) => {
  const { broker, page } = await visit(t)
  await broker.connect('first')
  await signIn({ broker, page })
  await page.locator('.configs .who').first().waitFor()
  // As a proxy answers whose broker restarts; and a stream that ends.
  const away = (route: { fulfill: (answer: object) => Promise<void> }) =>
    route.fulfill({ status: 503, json: { code: 'storage_unavailable', message: 'away', detail: 'away' } })
  await page.route('**/api/**', away)
  await page.reload()
  await page.getByRole('alert').filter({ hasText: 'This page comes back by itself.' }).waitFor()
  t.equal(await page.locator('view-sign-in').count(), 0, 'nobody has to sign in again')
  await page.unroute('**/api/**')
  await page.locator('.configs .who').first().waitFor()

  await page.context().setOffline(true)
  await go({ broker, page }, '#/overview').catch(() => {})
  await page.context().setOffline(false)
  await page.goto(broker.origin)
  await page.locator('.configs .who').first().waitFor()
})

withBrowser(t, 'what was missed meanwhile is shown once it is back', async (t) => {
  const { broker, page } = await visit(t)
  await broker.connect('first')
  await signIn({ broker, page })
  await page.locator('.configs .who').first().waitFor()
  await page.context().setOffline(true)
  await broker.connect('second')
  await page.context().setOffline(false)
  await page.locator('.configs .who', { hasText: 'second' }).waitFor()
  t.equal(await page.locator('view-sign-in').count(), 0)
})

withBrowser(t, 'a broker that cannot do its work says so', async (t) => {
  const { broker, page } = await visit(t)
  await broker.connect('first')
  await signIn({ broker, page })
  await page.getByText('Nothing needs you.').waitFor()
  const status = 'TOKEN_ENCRYPTION_KEY does not open the database'
  await page.route('**/health/ready', (route) => route.fulfill({ status: 503, json: { status } }))
  await go({ broker, page }, '#/overview')
  await page.getByRole('alert').filter({ hasText: status }).waitFor()
  t.equal(await page.getByText('Nothing needs you.').count(), 0)
  await page.getByRole('button', { name: '中文' }).click()
  await page
    .getByRole('alert')
    .filter({ hasText: '服务无法正常工作：TOKEN_ENCRYPTION_KEY 无法解密数据库' })
    .waitFor()
})

withBrowser(t, 'a wrong admin token is told to the person who typed it', async (t) => {
  const { broker, page } = await visit(t)
  await page.goto(broker.origin)
  await page.getByLabel('Admin token').fill('guess')
  await page.getByRole('button', { name: 'Sign in' }).click()
  const alert = page.getByRole('alert')
  t.equal((await alert.textContent())?.trim(), 'That is not the admin token.')
})

withBrowser(t, 'long names end in an ellipsis', async (t) => {
  const { broker, page } = await visit(t, { context: { viewport: { width: 390, height: 800 } } })
  const name = 'a-very-long-name-'.repeat(14)
  await broker.connect(name)
  await signIn({ broker, page })
  const shown = page.locator('.configs .who strong')
  await shown.waitFor()
  const facts = await page.evaluate(`(() => {
    const node = document.querySelector('.configs .who strong')
    return [node.scrollWidth > node.clientWidth, getComputedStyle(node).textOverflow, node.title]
  })()`)
  t.same(facts, [true, 'ellipsis', name])
  const width = await page.evaluate<number>('document.documentElement.scrollWidth')
  t.ok(width <= 390, `${width}`)
})
