import t from 'tap'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

const HOSTILE = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'"\`\${window.pwned=1}{{1}}`

withBrowser(t, 'names, reasons and models cannot act', async (t) => {
  const here = await visit(t)
  const { broker, page, problems } = here
  const { configId } = await broker.connect(HOSTILE, { models: [{ model_id: HOSTILE }] })
  await broker.sandbox.revokeFamilies()
  broker.sandbox.faults.next('refresh', {
    status: 400,
    body: { error: 'invalid_grant', error_description: HOSTILE },
  })
  await broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  await signIn(here)
  for (const hash of [
    '#/overview',
    `#/configs/${configId}`,
    '#/keys',
    '#/usage',
    '#/audit',
    '#/playground',
  ]) {
    await go(here, hash)
    t.equal(await page.evaluate('window.pwned'), undefined, hash)
    t.equal(await page.locator('img[src="x"], main script').count(), 0, hash)
  }
  await go(here, '#/overview')
  t.equal(await page.locator('.urgent .name').textContent(), HOSTILE)
  t.same(problems, [])
})

withBrowser(t, 'nor can a user code, a link or an error of a server', async (t) => {
  const here = await visit(t)
  const { broker, page, problems } = here
  const answer = {
    device_code: 'd'.repeat(40),
    user_code: HOSTILE,
    verification_uri: 'javascript:window.pwned=1',
    verification_uri_complete: 'javascript:window.pwned=1',
    expires_in: 600,
  }
  broker.sandbox.faults.next('device_code', { status: 200, body: answer })
  await signIn(here)
  await go(here, '#/connect/sandbox')
  await page.route('**/oauth/device-code?*', (route) =>
    route.fulfill({ json: { ...answer, session_id: 's', interval: 5 } }),
  )
  await page.getByRole('button', { name: 'Get a code' }).click()
  t.equal(await page.locator('token-broker-connect output').textContent(), HOSTILE)
  t.equal(await page.locator('token-broker-connect a').count(), 0, 'such an address is not linked')
  t.equal(await page.evaluate('window.pwned'), undefined)
  t.same(problems, [])
})

withBrowser(t, 'nor what a model says', async (t) => {
  const here = await visit(t)
  const { broker, page, problems } = here
  await broker.connect()
  await signIn(here)
  await go(here, '#/playground')
  await page.getByLabel('Message', { exact: true }).fill(HOSTILE)
  await page.getByRole('button', { name: 'Send' }).click()
  await page.locator('.message.assistant > p', { hasText: '{{1}}' }).waitFor()
  t.equal(await page.evaluate('window.pwned'), undefined)
  t.equal(await page.locator('.messages img').count(), 0)
  t.same(problems, [])
})

withBrowser(t, 'the page itself allows no code but its own files', async (t) => {
  const here = await visit(t)
  const { broker, page } = here
  const answer = await fetch(broker.origin)
  const policy = answer.headers.get('content-security-policy') ?? ''
  t.match(policy, /script-src 'self';/)
  t.notOk(/unsafe|\*|data:/.test(policy), policy)
  t.notOk(/<script(?![^>]*\bsrc=)|<style|\son\w+=|style="/.test(await answer.text()), 'nothing inline')
  await page.goto(broker.origin)
  const tried = await page.evaluate<string[]>(`(() => {
    const caught = []
    addEventListener('securitypolicyviolation', (event) => caught.push(event.effectiveDirective))
    const script = document.createElement('script')
    try { script.text = 'window.pwned = 1' } catch (error) { caught.push(error.name) }
    try { document.body.innerHTML = '<b>x</b>' } catch (error) { caught.push(error.name) }
    try { document.body.setAttribute('onclick', 'window.pwned = 1') } catch (error) { caught.push(error.name) }
    document.body.click()
    return new Promise((resolve) => setTimeout(() => resolve(caught), 200))
  })()`)
  t.ok(tried.includes('TypeError'), `strings do not become markup: ${tried}`)
  t.equal(await page.evaluate('window.pwned'), undefined)
})
