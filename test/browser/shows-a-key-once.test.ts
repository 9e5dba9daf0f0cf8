import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { call } from '../support/broker.ts'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

withBrowser(t, 'a key is shown once, with snippets that work, and never again', async (t) => {
  const here = await visit(t, { context: { permissions: ['clipboard-read', 'clipboard-write'] } })
  const { broker, page, problems } = here
  const { configId } = await broker.connect('Research')
  await broker.connect('Other')
  await signIn(here)
  await go(here, '#/keys')
  await page.getByRole('button', { name: 'Create key' }).click()
  await page.getByLabel('Name', { exact: true }).fill('Mobile app')
  await page.getByLabel('Requests a minute').fill('3')
  await page.getByText('Only these').click()
  await page.locator('key-form button.primary').click()
  await page.getByRole('alert').filter({ hasText: 'Choose at least one account.' }).waitFor()
  await page.getByLabel('Find an account by name').fill('rese')
  await page.locator('.choices-list .choice', { hasText: 'Research' }).click()
  await page.locator('key-form button.primary').click()

  const key = (await page.locator('new-key .secret code').textContent()) ?? ''
  t.match(key, /^sk-tb-[A-Za-z0-9_-]{43}$/)
  await page.getByRole('button', { name: 'Copy the key' }).click()
  t.equal(await page.evaluate('navigator.clipboard.readText()'), key)
  const curl = (await page.locator('new-key pre').textContent()) ?? ''
  t.match(
    (await promisify(execFile)('sh', ['-c', curl])).stdout,
    /\[DONE\]/,
    'the curl snippet streams an answer',
  )
  await page.getByRole('tab', { name: 'curl' }).focus()
  const snippets: Record<string, string> = {}
  for (const name of ['Python', 'Node', 'env']) {
    await page.keyboard.press('ArrowRight')
    t.equal(await page.locator('[role=tab][aria-selected=true]').textContent(), name)
    snippets[name] = (await page.locator('new-key pre').textContent()) ?? ''
    t.match(snippets[name], key)
  }
  const node = [process.execPath, ['--input-type=module', '-e', snippets['Node'] ?? '']] as const
  t.match((await promisify(execFile)(...node)).stdout, /^Hello from the sandbox!/, 'so does the one for Node')
  const item = (await broker.admin('GET', '/api/keys')).body.items.find(
    (made: { name: string }) => made.name === 'Mobile app',
  )
  t.match(item, { model_config_ids: [configId], requests_per_minute: 3, key: undefined })

  await page.reload()
  await page.locator('.keys li', { hasText: 'Mobile app' }).waitFor()
  t.notOk((await page.content()).includes(key), 'gone from the page')
  t.notOk(JSON.stringify(await page.context().storageState()).includes(key), 'gone from the browser')

  await page.getByRole('button', { name: 'Revoke: Mobile app' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
  await page.locator('.keys li', { hasText: 'Mobile app' }).waitFor({ state: 'detached' })
  t.equal((await call(`${broker.origin}/v1/models`, 'GET', undefined, key)).status, 401)
  t.same(problems, [])
})
