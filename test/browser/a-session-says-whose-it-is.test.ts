import t from 'tap'
import { sessionToken } from '../seed/open-webui.ts'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

const USER = 'f4506b78-a768-4a55-89ac-c5fb61be7a08'
const DAY = 86_400_000

withBrowser(t, 'an account of a web session shows its user, since when it is and when it ends', async (t) => {
  for (const [locale, user, issued, ends] of [
    ['en-US', 'User', 'Issued', 'Expires'],
    ['zh-CN', '用户', '签发时间', '过期'],
  ] as const) {
    const here = await visit(t, { context: { locale } })
    const { broker, page, problems } = here
    const { id } = (
      await broker.admin('POST', '/api/models/configs', {
        name: 'Chat',
        provider: 'qwen-chat',
        models: [],
        oauth_token: { access_token: sessionToken(5) },
      })
    ).body
    await signIn(here)
    await go(here, `#/configs/${id}`)
    const fact = (name: string) => page.locator('dl div', { hasText: name }).locator('dd').first()
    t.equal(await fact(user).innerText(), USER)
    const day = new Date(Date.now() - 2 * DAY).getFullYear().toString()
    t.match(await fact(issued).innerText(), new RegExp(day))
    t.match(await page.locator('.expiry').first().innerText(), ends)
    t.same(problems, [])
  }
})
