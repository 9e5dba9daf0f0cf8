/** A whole login by authorization code, by the pages of a server that is not ours, on another site than the broker. */
import t from 'tap'
import { BROWSER_CLIENT, SCOPE, startIndependentServer } from '../support/oidc-provider.ts'
import { openTab, signIn, visit, withBrowser } from './fixtures/browser.ts'

withBrowser(t, 'the browser that began comes back connected, and no other one', async (t) => {
  const server = await startIndependentServer(t, { host: 'localhost' })
  const authorization_server = { issuer: server.issuer, client_id: BROWSER_CLIENT, scope: SCOPE }
  const p = { credential: 'authorization_code', authorization_server, upstream: {} }
  const config = JSON.stringify({ allow_insecure_loopback: true, providers: { p } })
  const here = await visit(t, { config, context: { locale: 'zh-CN' } })
  const { broker, page, problems } = here
  const { id } = (await broker.admin('POST', '/api/models/configs', { name: 'a', provider: 'p', models: [] }))
    .body
  await signIn(here)
  const begin = `(async () => {
    const { csrf_token } = await (await fetch('/api/session')).json()
    const headers = { 'x-csrf-token': csrf_token }
    return (await fetch('/api/models/configs/${id}/login', { method: 'POST', headers })).json()
  })()`
  const begun = await page.evaluate<{ authorization_url: string; session_id: string }>(begin)

  const other = await openTab(t)
  const approve = async ({ page }: Pick<typeof other, 'page'>) => {
    await page.evaluate(`location.assign(${JSON.stringify(begun.authorization_url)})`)
    await page.locator('[name=login]').fill('somebody')
    await page.locator('[name=password]').fill('anything')
    await page.locator('button[type=submit]').click()
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.waitForURL(/\/oauth\/callback\/p\?/)
  }
  await other.page.goto(broker.origin)
  await approve(other)
  await other.page.getByText('begun in another browser').waitFor()
  await approve(here)
  await page.getByRole('heading', { name: '已连接' }).waitFor()
  const { credential } = (await broker.admin('GET', `/api/models/configs/${id}`)).body
  t.match(credential, { kind: 'authorization_code', state: 'active' })
  t.same([...problems, ...other.problems], [])
})
