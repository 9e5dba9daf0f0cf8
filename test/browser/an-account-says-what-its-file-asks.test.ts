/** What a provider's file leaves to each account is a form: made from the file, in both languages, secrets unshown. */
import t from 'tap'
import { CAUSES } from '../../src/admin/causes.ts'
import { secretOf, startTenants, tenantProviders } from '../admin/fixtures/tenants.ts'
import { startUpstream, UPSTREAM_KEY } from '../gateway/fixtures/upstream.ts'
import { waitUntil } from '../support/wait-until.ts'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

const SECRET = 'note-of-the-account-0123456789'

withBrowser(
  t,
  'its fields are filled in, its secret is kept unshown, and changing one changes no other',
  async (t) => {
    const upstream = await startUpstream(t)
    const config = `
allow_insecure_loopback: true
providers:
  vendor:
    label: { en: Vendor, zh: 厂商 }
    credential: api_key
    inputs:
      tenant: { label: { en: Tenant, zh: 租户 }, help: { en: As its portal shows it, zh: 见其控制台 }, pattern: "^[a-z0-9-]+$" }
      region: { label: { en: Region, zh: 地区 }, choices: [east, west], default: east }
      note: { label: { en: Note, zh: 备注 }, secret: true, required: false }
    upstream:
      base_url: "${upstream.origin}/v1"
      headers: { x-tenant: "{tenant}", x-region: "{region}", x-note: "{note}" }
`
    const { broker, page, problems } = await visit(t, { config })
    await signIn({ broker, page })
    await go({ broker, page }, '#/connect/vendor')
    await page.getByText('As its portal shows it').waitFor()
    await page.getByLabel('Models').fill('model-a')
    await page.getByLabel('API key').fill(UPSTREAM_KEY)
    await page.getByLabel('Tenant').fill('Not A Tenant')
    await page.getByLabel('Region').selectOption('west')
    await page.getByLabel('Note').fill(SECRET)
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.locator('form .note.bad', { hasText: 'inputs.tenant' }).waitFor()
    t.equal(await page.getByLabel('Note').inputValue(), SECRET, 'what was written is still there')
    await page.getByLabel('Tenant').fill('acme')
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.getByRole('heading', { name: 'vendor is connected.' }).waitFor()
    const sent = () => {
      const headers = upstream.calls.at(-1)?.headers
      return [headers?.['x-tenant'], headers?.['x-region'], headers?.['x-note']]
    }
    t.same(sent(), ['acme', 'west', SECRET])

    await page.getByRole('link', { name: 'Details' }).click()
    await page.getByRole('button', { name: 'Change' }).click()
    await page.getByLabel('Tenant').waitFor()
    t.equal(await page.getByLabel('Tenant').inputValue(), 'acme')
    t.equal(await page.getByLabel('Note').inputValue(), '')
    t.notMatch(await page.content(), SECRET)
    await page.getByLabel('Tenant').fill('other')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved.').waitFor()
    await page.getByRole('heading', { name: 'Everything works' }).waitFor()
    t.same(sent(), ['other', 'west', SECRET], 'what was changed is tried at once')

    const fact = (name: string) =>
      page.locator('.facts div', { has: page.getByText(name, { exact: true }) }).locator('dd')
    await waitUntil(async () => (await fact('Tenant').textContent()) === 'other')
    t.match(await fact('Note').textContent(), /^set \([0-9a-f]{8}\)$/)
    await page.getByRole('button', { name: 'Change' }).click()
    await page.getByLabel('Remove it').check()
    await page.getByRole('button', { name: 'Save' }).click()
    await waitUntil(() => sent()[2] === undefined)
    await fact('Note').waitFor({ state: 'detached' })
    t.same(problems, [])
  },
)

withBrowser(
  t,
  'what a server refuses is no connected account: why, what to do, and connected once it is mended',
  async (t) => {
    const tenants = await startTenants(t)
    const { broker, page, problems } = await visit(t, { config: tenantProviders(tenants.origin) })
    await signIn({ broker, page })
    await go({ broker, page }, '#/connect/tenants')
    await page.getByLabel('Tenant').fill('contoso')
    await page.getByLabel('Secret').fill(secretOf('fabrikam'))
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.getByRole('heading', { name: 'tenants is stored, but does not work yet.' }).waitFor()
    await page.getByText(CAUSES.credential_refused.english).waitFor()
    await page.getByText(CAUSES.credential_refused.advice).waitFor()
    await page.locator('.checks li', { hasText: 'invalid_client' }).waitFor()
    t.equal(await page.getByRole('link', { name: 'Open the playground' }).count(), 0)

    await page.getByRole('link', { name: 'Change' }).click()
    await page.locator('.heading .badge.bad', { hasText: 'Refused' }).waitFor()
    await page.getByLabel('Secret').fill(secretOf('contoso'))
    t.equal(await page.getByLabel('Remove it').count(), 0, 'it cannot do without')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { name: 'Everything works' }).waitFor()
    await page.locator('.heading .badge.good', { hasText: 'Active' }).waitFor()
    t.notMatch(await page.content(), secretOf('contoso'))
    await page.reload()
    await page.getByText('Last accepted').waitFor()
    t.equal(await page.locator('config-form').count(), 0, 'its form is closed for good')
    t.equal(await page.getByRole('link', { name: 'Log in again' }).count(), 0, 'there is no login of it')
    t.same(problems, [])
  },
)

withBrowser(t, 'labels and help are Chinese for who reads that', async (t) => {
  const config = `
providers:
  vendor:
    label: { en: Vendor, zh: 厂商 }
    credential: api_key
    inputs: { tenant: { label: { en: Tenant, zh: 租户 }, help: { en: As its portal shows it, zh: 见其控制台 } } }
    upstream: { base_url: "https://api.example.com/v1", headers: { x-tenant: "{tenant}" } }
`
  const { broker, page, problems } = await visit(t, { config, context: { locale: 'zh-CN' } })
  await signIn({ broker, page })
  await go({ broker, page }, '#/connect')
  await page.getByRole('link', { name: /^厂商/ }).click()
  await page.getByLabel('租户').waitFor()
  await page.getByText('见其控制台').waitFor()
  t.same(problems, [])
})
