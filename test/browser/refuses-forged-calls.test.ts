import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { signIn, visit, withBrowser } from './fixtures/browser.ts'

withBrowser(t, "another page cannot use a signed-in console's cookie", async (t) => {
  const here = await visit(t)
  const { broker, page } = here
  await signIn(here)

  // Another port of the same host is the same site: the cookie goes along, and only the CSRF token stands in the way.
  const evil = createServer((_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html>
      <form method="post" enctype="text/plain" action="${broker.origin}/api/keys"><input name='{"name":"stolen","x":"' value='"}'></form>`),
  )
  await new Promise<void>((resolve) => evil.listen(0, '127.0.0.1', resolve))
  t.teardown(() => evil.close())
  const tab = await page.context().newPage()
  await tab.goto(`http://127.0.0.1:${(evil.address() as AddressInfo).port}/`)
  const fromThere = (method: string, path: string, headers = '{}') =>
    tab.evaluate<string>(`fetch('${broker.origin}${path}', { method: '${method}', mode: 'cors', credentials: 'include', headers: ${headers}, ${method === 'POST' ? `body: '{"name":"stolen"}'` : ''} })
      .then((response) => String(response.status), (error) => error.name)`)
  t.equal(await fromThere('GET', '/api/keys'), 'TypeError', 'nothing can be read')
  t.equal(await fromThere('GET', '/api/session'), 'TypeError', 'nor the CSRF token')
  t.equal(await fromThere('POST', '/api/keys'), 'TypeError')
  t.equal(
    await fromThere('POST', '/api/keys', `{ 'content-type': 'application/json', 'x-csrf-token': 'guess' }`),
    'TypeError',
  )
  const answered = tab.waitForResponse('**/api/keys')
  await tab.evaluate('document.forms[0].submit()')
  t.ok((await answered).status() >= 400, `a form gets ${(await answered).status()}`)

  // Inside our own page too, a call without the token is refused.
  const bare = await page.evaluate<number>(
    `fetch('/api/keys', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"stolen"}' }).then((response) => response.status)`,
  )
  t.equal(bare, 403)
  t.equal((await broker.admin('GET', '/api/keys')).body.total, 0)

  const framed = await tab.evaluate<string>(`new Promise((resolve) => {
    const frame = document.createElement('iframe')
    frame.src = '${broker.origin}/'
    frame.onload = () => { try { resolve(String(frame.contentDocument)) } catch (error) { resolve(error.name) } }
    document.body.append(frame)
  })`)
  t.not(framed, '', 'the console is not framed')
  t.equal(await tab.frames()[1]?.locator('broker-console').count(), 0)
})

withBrowser(
  t,
  'a second tab may sign in anew without breaking the first; signing out ends both',
  async (t) => {
    const here = await visit(t)
    const { broker, page, problems } = here
    await signIn(here)
    const second = await page.context().newPage()
    await second.request.post(`${broker.origin}/api/session`, { data: { token: broker.adminToken } })
    await page.getByRole('link', { name: 'Keys' }).click()
    await page.getByRole('button', { name: 'Create key' }).first().click()
    await page.getByLabel('Name', { exact: true }).fill('after the other tab')
    await page.locator('key-form button.primary').click()
    await page.locator('new-key').waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByLabel('Admin token').waitFor()
    t.equal((await page.context().cookies()).length, 0)
    await page.getByLabel('Admin token').fill('wrong')
    await page.locator('view-sign-in button').click()
    await page.getByRole('alert').waitFor()
    t.same(problems, [])
  },
)
