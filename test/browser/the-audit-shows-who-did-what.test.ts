import t from 'tap'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

withBrowser(
  t,
  'what was done, to what and by whom; found by kind and person, in both languages',
  async (t) => {
    const seen = await visit(t)
    const { broker, page, problems } = seen
    const { configId } = await broker.connect('my account')
    await broker.admin('PUT', `/api/models/configs/${configId}`, { name: 'renamed' })
    const wrong = { authorization: 'Bearer wrong' }
    for (let i = 0; i < 3; i += 1) await fetch(`${broker.origin}/api/keys`, { headers: wrong })
    await signIn(seen)
    await go(seen, '#/audit')
    const list = page.locator('.audit')
    const row = (text: string) => list.locator('li', { hasText: text })
    await row('Account changed').getByText('Admin token · 127.0.0.1 · name: my account → renamed').waitFor()
    await row('Signed in').getByText('Console · 127.0.0.1').waitFor()
    await row('Access refused × 3').waitFor()

    await page.getByLabel('What').selectOption({ label: 'Accounts' })
    await row('Key created').waitFor({ state: 'detached' })
    t.equal(await list.locator('li').count(), 2)
    await page.getByLabel('What').selectOption({ label: 'All' })
    await page.getByLabel('Who').selectOption({ label: 'Console' })
    await row('Account changed').waitFor({ state: 'detached' })
    t.equal(await list.locator('li').count(), 1)
    await page.getByLabel('Who').selectOption({ label: 'Anybody' })
    await row('Account changed').waitFor()
    await page.getByText('中文').click()
    await row('已修改账号').getByText('管理员令牌').waitFor()
    t.notMatch(await list.innerText(), /Account|Key|Signed|Login|Access/)
    t.same(problems, [])
  },
)
