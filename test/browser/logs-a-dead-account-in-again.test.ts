import t from 'tap'
import { decide, go, signIn, visit, withBrowser } from './fixtures/browser.ts'

/** Views also look again every 15 s; without that nothing but the stream of changes is left. */
const WITHOUT_TICKING = `{
  const every = setInterval
  window.setInterval = (work, ms) => (ms === 15_000 ? 0 : every(work, ms))
}`

withBrowser(t, 'a dead credential shows up by itself, and one login heals it', async (t) => {
  const here = await visit(t)
  const { broker, page, problems } = here
  const { configId, key } = await broker.connect('Research')
  await page.addInitScript(WITHOUT_TICKING)
  await signIn(here)
  await page.getByText('Nothing needs you.').waitFor()
  const arrived = await page.evaluate<number>('performance.timeOrigin')

  // What follows happens without a reload, and told by the stream of changes alone.
  await broker.sandbox.revokeFamilies()
  await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  await page.getByText('1 account needs you').waitFor()
  await page.locator('.row .badge.bad', { hasText: 'Login needed' }).waitFor()

  await page.getByRole('link', { name: 'Log in again: Research' }).click()
  await decide(page, 'Approve') // the code was asked for without another click
  await page.getByText('Research is connected again.').waitFor()
  await page.locator('.heading .badge.good', { hasText: 'Active' }).waitFor()
  await page.locator('.audit li', { hasText: 'Connected again' }).waitFor()
  await page.getByRole('link', { name: 'Overview' }).first().click()
  await page.getByText('Nothing needs you.').waitFor()
  t.equal(await page.evaluate<number>('performance.timeOrigin'), arrived, 'the page was never loaded again')

  const answer = await fetch(`${broker.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'sandbox-model', messages: [{ role: 'user', content: 'Hi' }] }),
  })
  t.equal(answer.status, 200, 'the same key works again')
  t.same(problems, [])
})

withBrowser(t, 'an account can be tested, refreshed, disabled, enabled and deleted', async (t) => {
  const here = await visit(t)
  const { broker, page, problems } = here
  const { configId } = await broker.connect('Research')
  await signIn(here)
  await go(here, `#/configs/${configId}`)
  const press = (name: string) => page.getByRole('button', { name, exact: true }).click()
  await press('Test')
  await page.getByRole('heading', { name: 'Everything works' }).waitFor()
  await page.locator('.checks li', { hasText: 'answered with 200' }).waitFor()
  broker.sandbox.faults.next('upstream', { status: 429, body: { error: { code: 'insufficient_quota' } } })
  await press('Test')
  await page.locator('h2.bad').waitFor()
  await press('Refresh now')
  await page.getByText('The token was refreshed.').waitFor()
  await press('Disable')
  await page.locator('.heading .badge', { hasText: 'Disabled' }).waitFor()
  await press('Enable')
  await page.locator('.heading .badge', { hasText: 'Active' }).waitFor()

  await press('Delete')
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  t.equal((await broker.admin('GET', `/api/models/configs/${configId}`)).status, 200, 'asked, and not meant')
  await press('Delete')
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByText('Connect your first account').waitFor()
  t.equal((await broker.admin('GET', `/api/models/configs/${configId}`)).status, 404)
  t.same(problems, [])
})
