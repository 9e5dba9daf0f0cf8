import t, { type Test } from 'tap'
import { type Broker, must } from '../support/broker.ts'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

const KEYS = 45

/** The last on top; `app-00` is over one account, and so on. */
async function addKeys(broker: Broker, configId: string): Promise<string[]> {
  const ids: string[] = []
  for (let n = 0; n < KEYS; n += 1) {
    const name = `app-${String(n).padStart(2, '0')}`
    const scope = n % 2 === 0 ? { model_config_ids: [configId] } : {}
    ids.push((await must(broker.admin('POST', '/api/keys', { name, ...scope }))).id)
  }
  return ids
}

async function visitKeys(t: Test, locale: string) {
  const here = await visit(t, { context: { locale } })
  const { broker, page } = here
  const { configId } = await broker.connect('Research')
  const { body } = await broker.admin('GET', '/api/keys')
  for (const { id } of body.items) await broker.admin('DELETE', `/api/keys/${id}`)
  const ids = await addKeys(broker, configId)
  const asked: string[] = []
  page.on('request', (request) => {
    const { pathname, search } = new URL(request.url())
    if (pathname === '/api/keys' || pathname === '/api/models/configs') asked.push(pathname + search)
  })
  await signIn(here)
  await go(here, '#/audit')
  asked.splice(0)
  await go(here, '#/keys')
  return { ...here, ids, asked, rows: page.locator('.keys li') }
}

withBrowser(t, 'found by name, followed as they change, and no more read than is shown', async (t) => {
  const { broker, page, problems, ids, asked, rows } = await visitKeys(t, 'en-US')
  await page.getByText('1–20 of 45').waitFor()
  t.equal(await rows.count(), 20)
  t.match(await rows.first().textContent(), /app-44.*Research/s)
  t.match(await rows.nth(1).textContent(), /app-43.*All accounts/s)
  await page.getByRole('button', { name: 'Next' }).click()
  await page.getByText('21–40 of 45').waitFor()
  t.match(await rows.first().textContent(), /app-24/)
  await page.getByRole('button', { name: 'Next' }).click()
  await page.getByText('41–45 of 45').waitFor()
  t.equal(await rows.count(), 5)
  t.ok(await page.getByRole('button', { name: 'Next' }).isDisabled())

  for (const id of ids.slice(0, 5)) await must(broker.admin('DELETE', `/api/keys/${id}`))
  await page.getByText('1–20 of 40').waitFor()
  t.pass('where a page has gone the first one is shown')
  const { id } = await must(broker.admin('POST', '/api/keys', { name: 'newest' }))
  await page.getByText('1–20 of 41').waitFor()
  t.match(await rows.first().textContent(), /newest/)
  await must(broker.admin('PATCH', `/api/keys/${id}`, { name: 'renamed' }))
  await rows.first().getByText('renamed').waitFor()

  const search = page.getByPlaceholder('Find by name')
  await search.fill('APP-3')
  await rows.nth(10).waitFor({ state: 'detached' })
  t.equal(await rows.count(), 10)
  await search.fill('nobody')
  await page.getByText('Nothing matches.').waitFor()
  await must(broker.admin('POST', '/api/keys', { name: 'Nobody' }))
  await rows.getByText('Nobody', { exact: true }).waitFor()
  await search.fill('')
  await page.getByText('1–20 of 42').waitFor()

  t.ok(asked.length > 8)
  const isOfPage = (path: string) =>
    /^\/api\/keys\?.*\bpage_size=20&cursor=/.test(path) ||
    /^\/api\/models\/configs\?.*\bid=[\w-]{36}$/.test(path)
  t.same(
    asked.filter((path) => !isOfPage(path)),
    [],
  )
  const elements = await page.evaluate<number>(`document.querySelectorAll('*').length`)
  t.ok(elements < 1_500, `${elements} elements`)
  t.same(problems, [])
})

withBrowser(t, 'in Chinese', async (t) => {
  const { page, problems, rows } = await visitKeys(t, 'zh-CN')
  await page.getByText('第 1–20 条，共 45 条').waitFor()
  await page.getByRole('button', { name: '下一页' }).click()
  await page.getByText('第 21–40 条，共 45 条').waitFor()
  await page.getByRole('button', { name: '上一页' }).click()
  await page.getByText('第 1–20 条，共 45 条').waitFor()
  await page.getByPlaceholder('按名称查找').fill('app-07')
  await rows.nth(1).waitFor({ state: 'detached' })
  t.match(await rows.first().textContent(), /app-07.*全部账号/s)
  await page.getByPlaceholder('按名称查找').fill('没有')
  await page.getByText('没有符合条件的结果。').waitFor()
  t.same(problems, [])
})
