import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { violationsOf } from './fixtures/axe.ts'
import { go, signIn, type Visit, visit, withBrowser } from './fixtures/browser.ts'
import { fillWithLife } from './fixtures/demo.ts'

const IMAGES = fileURLToPath(new URL('../../docs/images/', import.meta.url))
/** `UPDATE_IMAGES=true npm run test:browser` makes them anew. */
const UPDATES = process.env['UPDATE_IMAGES'] === 'true'
const MAX_IMAGE_BYTES = 150_000

const LOOKS = {
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 844 }, hasTouch: true },
} as const
type Look = keyof typeof LOOKS

interface View {
  readonly name: string
  readonly show: (visit: Visit, configId: string) => Promise<void>
}

const press = (page: Page, name: string) => page.getByRole('button', { name }).click()

const VIEWS: readonly View[] = [
  { name: 'overview', show: (visit) => go(visit, '#/overview') },
  { name: 'connect', show: (visit) => go(visit, '#/connect') },
  { name: 'connect-form', show: (visit) => go(visit, '#/connect/azure-openai') },
  {
    name: 'connect-code',
    show: async (visit) => {
      await go(visit, '#/connect/sandbox')
      await press(visit.page, 'Get a code')
      await visit.page.locator('token-broker-connect output').waitFor()
    },
  },
  {
    name: 'account',
    show: async (visit, configId) => {
      await go(visit, `#/configs/${configId}`)
      await press(visit.page, 'Test')
      await visit.page.locator('.checks').waitFor()
    },
  },
  {
    name: 'account-form',
    show: async (visit, configId) => {
      await go(visit, `#/configs/${configId}`)
      await press(visit.page, 'Change')
      await visit.page.locator('config-form').waitFor()
    },
  },
  { name: 'keys', show: (visit) => go(visit, '#/keys') },
  {
    name: 'key-change',
    show: async (visit) => {
      await go(visit, '#/keys')
      await press(visit.page, 'Change: Web shop')
      await visit.page.locator('.choices-list').waitFor()
    },
  },
  {
    name: 'key-rotation',
    show: async (visit) => {
      await go(visit, '#/keys')
      await press(visit.page, 'Rotate: Web shop')
      await visit.page.getByRole('dialog').waitFor()
    },
  },
  {
    name: 'key-form',
    show: async (visit) => {
      await go(visit, '#/keys')
      await press(visit.page, 'Create key')
      await visit.page.getByText('Only these').click()
      await visit.page.locator('.choices-list').waitFor()
    },
  },
  {
    name: 'new-key',
    show: async (visit) => {
      await go(visit, '#/keys')
      await press(visit.page, 'Create key')
      await visit.page.getByLabel('Name', { exact: true }).fill('Mobile app')
      await visit.page.locator('key-form button.primary').click()
      await visit.page.locator('new-key .secret').waitFor()
    },
  },
  {
    name: 'playground',
    show: async (visit) => {
      await go(visit, '#/playground')
      const tool = visit.page.getByText('Offer a sample tool')
      if (!(await tool.isVisible())) await visit.page.getByText('Model and key').click()
      await tool.click()
      await visit.page.getByLabel('Message', { exact: true }).fill('What time is it where I am?')
      await press(visit.page, 'Send')
      await visit.page
        .locator('.message.assistant', { hasText: 'The tool answered' })
        .locator('.facts-line')
        .waitFor()
    },
  },
  { name: 'usage', show: (visit) => go(visit, '#/usage') },
  { name: 'audit', show: (visit) => go(visit, '#/audit') },
]

async function look(t: Test, { page }: Visit, name: string): Promise<void> {
  t.same(await violationsOf(page), [], `${name}: nothing for axe to complain of`)
  const width = await page.evaluate<number[]>('[document.documentElement.scrollWidth, innerWidth]')
  t.ok((width[0] ?? 0) <= (width[1] ?? 0), `${name}: nothing sticks out: ${width}`)
  await page.mouse.move(0, 0)
  await page.evaluate('document.activeElement?.blur()')
  const image = await page.screenshot({
    animations: 'disabled',
    caret: 'hide',
    ...(UPDATES && { path: join(IMAGES, `${name}.png`) }),
  })
  t.ok(image.length <= MAX_IMAGE_BYTES, `${name}: ${image.length} bytes`)
}

for (const kind of Object.keys(LOOKS) as Look[]) {
  withBrowser(t, `every view, ${kind}: axe finds nothing, nothing sticks out`, async (t) => {
    if (UPDATES) mkdirSync(IMAGES, { recursive: true })
    const context = LOOKS[kind]
    const here = await visit(t, { context, sandbox: { accessTokenSeconds: 3_600 } })
    const configId = await fillWithLife(t, here.broker)
    await here.page.goto(here.broker.origin)
    await here.page.getByLabel('Admin token').waitFor()
    await look(t, here, `sign-in-${kind}`)
    await signIn(here)
    for (const { name, show } of VIEWS) {
      await show(here, configId)
      await look(t, here, `${name}-${kind}`)
    }
    t.same(here.problems, [])
  })
}

withBrowser(t, 'empty, broken and Chinese views are as accessible', async (t) => {
  const here = await visit(t, { context: { locale: 'zh-CN' } })
  const { page } = here
  await signIn(here)
  t.equal(await page.locator('html').getAttribute('lang'), 'zh-CN')
  for (const hash of [
    '#/overview',
    '#/playground',
    '#/keys',
    '#/usage',
    '#/audit',
    '#/connect',
    '#/configs/unknown',
  ]) {
    await go(here, hash).catch(() => undefined)
    t.same(await violationsOf(page), [], hash)
    const english = await page.evaluate<string>(`document.querySelector('main').innerText`)
    t.match(english, /[\u4e00-\u9fff]/, `${hash} speaks Chinese`)
  }
  await page.route('**/api/keys?*', (route) =>
    route.fulfill({ status: 503, json: { message: '数据库暂时不可用', code: 'x' } }),
  )
  await go(here, '#/keys')
  await page.getByRole('alert').filter({ hasText: '数据库暂时不可用' }).waitFor()
  t.same(await violationsOf(page), [], 'an error')
  await page.unroute('**/api/keys?*')
  await page.getByRole('button', { name: '重试' }).click()
  await page.getByText('还没有密钥').waitFor()
  t.same(here.problems, [])
})

/** What each view says where there is nothing yet; the account that is not there is an error to the end. */
const EMPTY = {
  '#/playground': 'No model to talk to yet',
  '#/keys': 'No keys yet',
  '#/usage': 'Nothing was used in this span',
  '#/audit': 'Signed in',
  '#/connect': 'Ready to connect',
  '#/configs/unknown': 'There is no such model config',
  '#/overview': 'Connect your first account',
}

withBrowser(t, 'every view says that it loads, that it failed, and that there is nothing', async (t) => {
  const here = await visit(t)
  const { broker, page, problems } = here
  await signIn(here)
  for (const [hash, nothing] of Object.entries(EMPTY)) {
    const answer = Promise.withResolvers<void>()
    await page.route(/\/api\/(models|keys|usage|audit|providers)/, async (route) => {
      await answer.promise
      await route.fulfill({ status: 503, json: { message: 'The database is away', code: 'x' } })
    })
    await page.goto(`${broker.origin}/${hash}`)
    await page.getByRole('status', { name: 'Loading' }).first().waitFor()
    t.same(await violationsOf(page), [], `${hash} loads`)
    answer.resolve()
    const alert = page.getByRole('alert').filter({ hasText: 'The database is away' })
    await alert.first().waitFor()
    t.same(await violationsOf(page), [], `${hash} failed`)
    await page.unrouteAll({ behavior: 'wait' })
    await alert.first().getByRole('button', { name: 'Try again' }).click()
    await page.getByText(nothing).first().waitFor()
    t.equal(await alert.count(), 0, hash)
  }
  t.same(problems, [])
})

t.test('the images of the documentation are there, and small', async (t) => {
  const expected = ['sign-in', ...VIEWS.map(({ name }) => name)]
    .flatMap((name) => Object.keys(LOOKS).map((kind) => `${name}-${kind}.png`))
    .sort()
  if (UPDATES) return
  t.same(
    readdirSync(IMAGES)
      .filter((file) => file.endsWith('.png'))
      .sort(),
    expected,
  )
  for (const file of expected) t.ok(statSync(join(IMAGES, file)).size <= MAX_IMAGE_BYTES, file)
})
