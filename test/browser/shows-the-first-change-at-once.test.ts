import t from 'tap'
import { must } from '../support/broker.ts'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

withBrowser(t, 'a change is shown at once, and those that follow a moment later', async (t) => {
  const here = await visit(t)
  const { broker, page } = here
  const { configId } = await broker.connect('restless')
  await page.clock.install()
  await signIn(here)
  await go(here, '#/overview')
  const row = page.locator('.row', { hasText: 'restless' })
  await row.waitFor()
  // From here on no time goes by in the page.
  await page.clock.pauseAt(await page.evaluate<number>('Date.now() + 1000'))

  const setActive = (isActive: boolean) =>
    must(broker.admin('PATCH', `/api/models/configs/${configId}/status?is_active=${isActive}`))
  await setActive(false)
  await row.getByText('Disabled').waitFor()
  t.pass('the first, though others may follow')
  await setActive(true)
  await setActive(false)
  await setActive(true)
  await page.clock.runFor(1_000)
  await row.getByText('Disabled').waitFor({ state: 'detached' })
  t.pass('the last of a burst')
})
