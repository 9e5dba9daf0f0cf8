import { readFileSync } from 'node:fs'
import t from 'tap'
import { startProcess } from '../support/broker-process.ts'
import { decide, go, openTab, signIn, visit, withBrowser } from './fixtures/browser.ts'

withBrowser(t, 'from an empty console through the sandbox to a streamed answer', async (t) => {
  const { broker, page, problems } = await visit(t)
  await signIn({ broker, page })
  await page.getByText('Connect your first account').waitFor()
  await page.getByRole('link', { name: 'Connect account' }).first().click()
  await page.getByRole('link', { name: 'Sandbox' }).click()
  await page.getByRole('button', { name: 'Get a code' }).click()
  t.match(await page.locator('token-broker-connect output').textContent(), /^[A-Z]{4}-\d{4}$/)
  t.match(await page.getByRole('timer').textContent(), /^\d+:\d\d left$/)
  await decide(page, 'Approve')
  await page.getByRole('heading', { name: 'sandbox is connected.', exact: true }).waitFor()

  await page.getByRole('link', { name: 'Open the playground' }).click()
  const answer = page.locator('.message.assistant > p')
  await page.getByRole('button', { name: 'Send' }).waitFor()
  const lengths = page.evaluate<number[]>(`new Promise((resolve) => {
    const seen = new Set()
    new MutationObserver(() => {
      const text = document.querySelector('.message.assistant > p')?.textContent ?? ''
      seen.add(text.length)
      if (text.endsWith('”')) resolve([...seen])
    }).observe(document.querySelector('.messages'), { childList: true, subtree: true, characterData: true })
  })`)
  const message = 'Tell me more. '.repeat(14).trim() // long enough to be seen on its way, however slow the machine
  await page.getByLabel('Message', { exact: true }).fill(message)
  await page.getByRole('button', { name: 'Send' }).click()
  const grown = await lengths
  t.ok(grown.length >= 4, `the answer grew: ${grown}`)
  t.equal(await answer.first().textContent(), `Hello from the sandbox! You said: “${message}”`)
  await page.locator('.facts-line').filter({ hasText: 'config=sandbox; attempt=1' }).waitFor()

  await page.getByText('Offer a sample tool').click()
  await page.getByLabel('Message', { exact: true }).fill('What time is it?')
  await page.keyboard.press('Enter')
  await page.locator('.tool-call', { hasText: 'current_time({})' }).waitFor()
  await page.locator('.message.tool').waitFor()
  await answer.filter({ hasText: 'The tool answered' }).waitFor()
  await page.locator('.facts-line').nth(2).waitFor()

  await go({ broker, page }, '#/usage')
  // By day, model and key.
  await page.getByRole('img', { name: /^Requests: 3$/ }).waitFor()
  for (const row of [/^sandbox-model\s*3\s*\d+ in · \d+ out$/, /^playground \(temporary\)\s*3\s*\d+ in/])
    await page.locator('.usage li').filter({ hasText: row }).waitFor()
  t.same(problems, [])
})

withBrowser(t, 'a new user needs four clicks at most from `npm start` to an answer', async (t) => {
  const broker = await startProcess(t, { env: { ADMIN_TOKEN: undefined } })
  await broker.practiceKey()
  const address = await broker.untilSaid(/Console +(\S+)/)
  const tokenFile = await broker.untilSaid(/admin token: (.+)\)/)
  const { page, problems } = await openTab(t)
  await page.goto(address)
  await page.keyboard.type(readFileSync(tokenFile, 'utf8').trim()) // the field has the focus
  let clicks = 0
  const click = (role: 'button' | 'link', name: string) => {
    clicks += 1
    return page.getByRole(role, { name }).click()
  }
  await click('button', 'Sign in')
  await click('link', 'Playground')
  await click('button', 'Send')
  await page.locator('.message.assistant > p', { hasText: 'Hello from the sandbox!' }).waitFor()
  t.ok(clicks <= 4, `${clicks} clicks`)
  t.same(problems, [])
})

withBrowser(t, 'an API key is tested before it is stored, and what is wrong is said', async (t) => {
  const { broker, page, problems } = await visit(t)
  await signIn({ broker, page })
  await go({ broker, page }, '#/connect/openai')
  await page.getByLabel('Base URL').fill('https://127.0.0.1:1/v1')
  await page.getByLabel('API key').fill('sk-0123456789')
  await page.getByLabel('Models').fill('some-model')
  await page.getByRole('button', { name: 'Test' }).click()
  await page.locator('.note.bad', { hasText: 'cannot be reached' }).waitFor()
  await page.getByRole('button', { name: 'Connect' }).click()
  await page.getByRole('heading', { name: 'openai is stored, but does not work yet.' }).waitFor()
  await go({ broker, page }, '#/connect/openai')
  await page.reload()
  await page.getByLabel('Base URL').fill('https://127.0.0.1:1/v1')
  await page.getByLabel('API key').fill('sk-0123456789')
  await page.getByLabel('Name').fill('openai')
  await page.getByRole('button', { name: 'Connect' }).click()
  await page.getByRole('alert').filter({ hasText: 'already in use' }).waitFor()
  t.same(problems, [])
})
