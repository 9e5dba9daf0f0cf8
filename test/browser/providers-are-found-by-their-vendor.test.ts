/** The connect page: a card for each vendor, and its ways to authenticate and its regions are choices on its page. */

import type { Page } from 'playwright-core'
import t from 'tap'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

const CONFIG = `
providers:
  nowhere-eu: { label: Nowhere EU, vendor: { en: Nowhere, zh: 乌有 }, region: { en: Europe, zh: 欧洲 }, credential: api_key, upstream: { base_url: "https://eu.nowhere.example/v1" } }
  nowhere-us: { label: Nowhere US, vendor: { en: Nowhere, zh: 乌有 }, region: { en: America, zh: 美洲 }, credential: api_key, upstream: { base_url: "https://us.nowhere.example/v1" } }
  nowhere-cluster:
    label: Nowhere (cluster)
    vendor: { en: Nowhere, zh: 乌有 }
    variant: { en: Cluster identity, zh: 集群身份 }
    credential: token_exchange
    authorization_server: { token_endpoint: "https://nowhere.example/token" }
    subject_token: { file: env:NOWHERE_TOKEN_FILE }
    upstream: { base_url: "https://eu.nowhere.example/v1" }
`

const section = (page: Page, title: string) =>
  page.locator('vendor-list section', { has: page.getByRole('heading', { name: title, exact: true }) })

withBrowser(
  t,
  'a card for each vendor, what needs nothing but its form first, found by any of its words',
  async (t) => {
    const here = await visit(t, { config: CONFIG })
    const { page, problems } = here
    await signIn(here)
    await go(here, '#/connect')
    const cards = page.locator('vendor-list li')
    const all = await cards.count()
    t.ok(all < 35, `${all} cards`)
    t.equal(await cards.filter({ hasText: 'Nowhere' }).count(), 1)
    const ready = section(page, 'Ready to connect')
    const nowhere = ready.getByRole('link', { name: /^Nowhere/ })
    t.equal((await nowhere.innerText()).trim(), 'Nowhere\nAPI key · Cluster identity')
    const last = section(page, 'Needs something beside the form').getByRole('link', { name: /^Hugging Face/ })
    t.equal(await last.count(), 1, 'a template comes last')
    const names = await ready.locator('strong').allInnerTexts()
    t.same(
      names,
      names.toSorted((one, other) => one.localeCompare(other, 'en')),
    )

    const search = page.getByLabel('Find a provider')
    for (const [typed, found] of [
      ['nowhere-EU', 'Nowhere'],
      ['乌有', 'Nowhere'],
      ['coding plan', 'Alibaba Cloud Model Studio'],
    ] as const) {
      await search.fill(typed)
      await cards.nth(1).waitFor({ state: 'detached' })
      t.same(await cards.locator('strong').allInnerTexts(), [found], typed)
    }
    await search.fill('nobody at all')
    await page.getByText('Nothing matches.').waitFor()
    t.same(problems, [])
  },
)

withBrowser(t, 'regions and ways to authenticate are choices on its page', async (t) => {
  const here = await visit(t, { config: CONFIG })
  const { page, problems } = here
  await signIn(here)
  await go(here, '#/connect')
  await page.getByRole('link', { name: /^Nowhere/ }).click()
  await page.getByRole('heading', { name: 'Nowhere EU' }).waitFor()
  const ways = page.getByRole('navigation', { name: 'Authenticate by' })
  const regions = page.getByRole('navigation', { name: 'Region' })
  t.same(await ways.getByRole('link').allInnerTexts(), ['API key', 'Cluster identity'])
  t.same(await regions.locator('[aria-current]').allInnerTexts(), ['Europe'])
  await regions.getByRole('link', { name: 'America' }).click()
  await page.getByRole('heading', { name: 'Nowhere US' }).waitFor()
  t.same(await ways.locator('[aria-current]').allInnerTexts(), ['API key'])
  t.equal(await page.getByPlaceholder('https://us.nowhere.example/v1').count(), 1)
  await ways.getByRole('link', { name: 'Cluster identity' }).click()
  await page.locator('form .note', { hasText: 'NOWHERE_TOKEN_FILE' }).waitFor()
  t.equal(await regions.count(), 0, 'of one there is nothing to choose')
  await page.goBack()
  await page.getByRole('heading', { name: 'Nowhere US' }).waitFor()
  t.same(problems, [])
})

withBrowser(t, 'in Chinese too', async (t) => {
  const here = await visit(t, { config: CONFIG, context: { locale: 'zh-CN' } })
  const { page, problems } = here
  await signIn(here)
  await go(here, '#/connect')
  await page.getByRole('link', { name: /^乌有/ }).click()
  await page.getByRole('navigation', { name: '区域' }).getByRole('link', { name: '美洲' }).click()
  await page.getByRole('navigation', { name: '认证方式' }).getByRole('link', { name: '集群身份' }).click()
  await page.locator('form .note', { hasText: '环境变量 NOWHERE_TOKEN_FILE' }).waitFor()
  t.same(problems, [])
})

withBrowser(t, 'of very many only so many cards are drawn, and the rest is found', async (t) => {
  const many = Array.from(
    { length: 300 },
    (_, n) =>
      `  many-${n}: { label: Many ${n}, credential: api_key, upstream: { base_url: "https://m${n}.example/v1" } }`,
  )
  const here = await visit(t, { config: `providers:\n${many.join('\n')}` })
  const { page, problems } = here
  await signIn(here)
  await go(here, '#/connect')
  t.equal(await page.locator('vendor-list li').count(), 60)
  await page.getByText(/^2\d\d more; narrow the search$/).waitFor()
  await page.getByLabel('Find a provider').fill('many 299')
  await page.getByRole('link', { name: /^Many 299/ }).click()
  await page.getByRole('heading', { name: 'Many 299' }).waitFor()
  t.same(problems, [])
})
