/** An account is called connected once it has worked, and what cannot work yet is no form to fill in. */
import t from 'tap'
import { CAUSES } from '../../src/admin/causes.ts'
import { startUpstream, strictConfig, UPSTREAM_KEY } from '../gateway/fixtures/upstream.ts'
import { sessionToken, startOpenWebUi } from '../seed/open-webui.ts'
import { waitUntil } from '../support/wait-until.ts'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

withBrowser(t, 'a key that does not work is not called connected, and one that does is', async (t) => {
  const upstream = await startUpstream(t)
  const { broker, page, problems } = await visit(t, { config: strictConfig(upstream.origin) })
  await signIn({ broker, page })
  const connect = async (name: string, key: string, models: string) => {
    await go({ broker, page }, '#/connect/strict')
    await page.reload()
    await page.getByLabel('Name').fill(name)
    await page.getByLabel('API key').fill(key)
    await page.getByLabel('Models').fill(models)
    await page.getByRole('button', { name: 'Connect' }).click()
  }
  await connect('wrong', 'sk-wrong', 'model-a')
  await page.getByRole('heading', { name: 'wrong is stored, but does not work yet.' }).waitFor()
  await page.locator('.empty.bad strong', { hasText: CAUSES.wrong_key.english }).waitFor()
  t.equal(await page.getByRole('link', { name: 'Open the playground' }).count(), 0)
  await page.getByRole('link', { name: 'Details' }).click()
  await page.locator('.heading .badge.idle', { hasText: 'Not tried yet' }).waitFor()

  await connect('untried', UPSTREAM_KEY, '')
  await page.getByRole('heading', { name: 'untried is stored, not tried yet.' }).waitFor()
  t.equal(await page.locator('.empty.good').count(), 0)

  await connect('right', UPSTREAM_KEY, 'model-a')
  await page.getByRole('heading', { name: 'right is connected.' }).waitFor()
  await page.getByRole('link', { name: 'Details' }).click()
  await page.locator('.heading .badge.good', { hasText: 'Active' }).waitFor()

  await page.getByRole('link', { name: 'Overview' }).first().click()
  const names = page.locator('.configs .who strong')
  await names.nth(2).waitFor()
  t.same(await names.allTextContents(), ['right', 'untried', 'wrong'], 'the newest first')
  t.same(problems, [])
})

withBrowser(t, 'a login without completions offers no playground, and says what it is for', async (t) => {
  const server = await startOpenWebUi(t, 10)
  const config = `
allow_insecure_loopback: true
providers:
  chat-only:
    label: Chat session
    credential: session
    session: { refresh_endpoint: "${server.origin}/api/v1/auths/" }
    upstream: {}
`
  const { broker, page, problems } = await visit(t, { config })
  await signIn({ broker, page })
  await go({ broker, page }, '#/connect/chat-only')
  const purpose = 'keeps a login alive and serves no completions'
  await page.getByText(purpose).waitFor()
  t.equal(await page.getByLabel('Models').count(), 0)
  await page.getByLabel('Access token').fill(sessionToken(5))
  await page.getByRole('button', { name: 'Connect' }).click()
  await page.getByRole('heading', { name: 'chat-only is connected.' }).waitFor()
  await page.locator('.empty.good p', { hasText: purpose }).waitFor()
  t.equal(await page.getByRole('link', { name: 'Open the playground' }).count(), 0)
  t.same(problems, [])
})

withBrowser(t, 'a name that is taken is said before anybody approves', async (t) => {
  const { broker, page, problems } = await visit(t)
  await broker.connect('sandbox')
  await signIn({ broker, page })
  await go({ broker, page }, '#/connect/sandbox')
  const name = page.getByLabel('Name')
  await waitUntil(async () => (await name.inputValue()) === 'sandbox-2')
  await name.fill('sandbox')
  await page.locator('.note.bad', { hasText: 'The name is taken.' }).waitFor()
  t.equal(await page.getByRole('button', { name: 'Get a code' }).count(), 0)
  await name.fill('another')
  await page.getByRole('button', { name: 'Get a code' }).waitFor()
  t.same(problems, [])
})

withBrowser(t, 'a template shows the lines to write, and no form', async (t) => {
  const phone = { viewport: { width: 390, height: 844 } }
  const { broker, page, problems } = await visit(t, { context: phone })
  await signIn({ broker, page })
  await go({ broker, page }, '#/connect')
  await page.getByRole('link', { name: /^Azure OpenAI/ }).click()
  await page.getByRole('link', { name: 'One login server for all accounts' }).click()
  await page
    .locator('pre', { hasText: /providers:\s+entra-id:[\s\S]*client_id: your-application-id/ })
    .waitFor()
  await page.getByText('CONFIG_FILE').waitFor()
  t.equal(await page.locator('form').count(), 0)
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 390, 'nothing sticks out')
  await go({ broker, page }, '#/connect/openai')
  const link = page.getByRole('link', { name: 'Where to get a key' })
  t.match(await link.getAttribute('href'), /^https:\/\//)
  t.same(problems, [])
})

withBrowser(t, 'in Chinese everything is Chinese but names, addresses and what servers say', async (t) => {
  const upstream = await startUpstream(t)
  const { broker, page } = await visit(t, {
    config: strictConfig(upstream.origin),
    context: { locale: 'zh-CN' },
  })
  await signIn({ broker, page })
  await go({ broker, page }, '#/connect/strict')
  await page.getByLabel('名称').fill('x')
  await page.getByLabel('API 密钥').fill(UPSTREAM_KEY)
  await page.getByLabel('模型').fill('model-a')
  await page.getByRole('button', { name: '测试' }).click()
  await page.locator('.note', { hasText: '连接成功' }).waitFor()
  await page.getByRole('button', { name: '连接' }).click()
  await page.getByRole('link', { name: '详情' }).click()
  await page.getByRole('button', { name: '测试' }).click()
  await page.locator('.checks li').first().waitFor()
  const said = await page.locator('.checks').innerText()
  t.notMatch(said.replaceAll(/https?:\S+/g, ''), /\b(the|is|answered|opaque|characters|known)\b/)
  await go({ broker, page }, '#/connect/strict')
  await page.getByLabel('名称').fill('x')
  await page.locator('.note.bad', { hasText: '名称已被使用' }).waitFor()
})
