import t from 'tap'
import { decide, go, signIn, type VisitOptions, visit, withBrowser } from './fixtures/browser.ts'

async function waiting(t: Parameters<typeof visit>[0], options: VisitOptions = {}) {
  const here = await visit(t, options)
  await signIn(here)
  await go(here, '#/connect/sandbox')
  await here.page.getByRole('button', { name: 'Get a code' }).click()
  await here.page.locator('token-broker-connect output').waitFor()
  return here
}

withBrowser(t, 'a refusal is told, and a second try works', async (t) => {
  const { page, problems } = await waiting(t)
  await decide(page, 'Deny')
  await page.getByRole('heading', { name: 'You refused the approval' }).waitFor()
  t.equal(await page.evaluate(FOCUSED), 'You refused the approval', 'the focus is where the news is')
  await page.getByRole('button', { name: 'Try again' }).click()
  await decide(page, 'Approve')
  await page.getByRole('heading', { name: 'sandbox is connected.', exact: true }).waitFor()
  t.same(problems, [])
})

withBrowser(t, 'a code nobody enters runs out on the page', async (t) => {
  const { page, problems } = await waiting(t, { sandbox: { deviceCodeSeconds: 5 } })
  await page.getByRole('heading', { name: 'The code has expired' }).waitFor()
  t.same(problems, [])
})

withBrowser(t, 'too many tries are told with the time to wait', async (t) => {
  const { page, problems } = await waiting(t)
  for (let tries = 1; tries < 10; tries += 1) {
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('button', { name: 'Get a code' }).click()
    await page.locator('token-broker-connect output').waitFor()
  }
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('button', { name: 'Get a code' }).click()
  await page.getByRole('heading', { name: 'Too many tries' }).waitFor()
  t.match(await page.locator('token-broker-connect p').textContent(), /Please wait \d+ s/)
  t.same(problems, [])
})

withBrowser(t, 'where events do not come through, polling does', async (t) => {
  const here = await visit(t)
  const polls: string[] = []
  here.page.on(
    'request',
    (request) => void (request.url().includes('/oauth/status') && polls.push(request.url())),
  )
  await here.page.route('**/oauth/events*', (route) => route.fulfill({ status: 502, body: 'bad gateway' }))
  await signIn(here)
  await go(here, '#/connect/sandbox')
  await here.page.getByRole('button', { name: 'Get a code' }).click()
  await decide(here.page, 'Approve')
  await here.page.getByRole('heading', { name: 'sandbox is connected.', exact: true }).waitFor()
  t.ok(polls.length >= 1, `${polls.length} polls`)
  t.same(here.problems, [])
})

withBrowser(t, 'leaving the page ends the watching', async (t) => {
  const { page, problems } = await waiting(t)
  const ended = page.waitForEvent('requestfailed', (request) => request.url().includes('/oauth/events'))
  await page.getByRole('link', { name: 'Keys' }).click()
  t.equal((await ended).failure()?.errorText, 'net::ERR_ABORTED')
  t.same(problems, [])
})

const FOCUSED = `document.activeElement?.shadowRoot?.activeElement?.textContent`
