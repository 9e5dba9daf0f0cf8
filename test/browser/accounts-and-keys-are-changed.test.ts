import t from 'tap'
import { json, startUpstream, strictConfig, UPSTREAM_KEY } from '../gateway/fixtures/upstream.ts'
import { call } from '../support/broker.ts'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

withBrowser(t, 'an account gets another name, other models and another address', async (t) => {
  const upstream = await startUpstream(t)
  const elsewhere = await startUpstream(t)
  const here = await visit(t, { config: strictConfig(upstream.origin) })
  const { broker, page, problems } = here
  const made = await broker.admin('POST', '/api/models/configs', {
    name: 'Research',
    provider: 'strict',
    api_key: UPSTREAM_KEY,
    models: [{ model_id: 'model-a', support_vision: true }],
  })
  const item = async () => (await broker.admin('GET', `/api/models/configs/${made.body.id}`)).body
  const press = (name: string) => page.getByRole('button', { name, exact: true }).click()
  await signIn(here)
  await go(here, `#/configs/${made.body.id}`)
  await press('Change')
  t.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'Research')
  t.equal(await page.getByLabel('Models').inputValue(), 'model-a')
  await press('Cancel')
  await page.locator('config-form').waitFor({ state: 'detached' })

  await press('Change')
  upstream.answer((_, response) => json(response, {}, 404))
  await press('Fill in what the endpoint lists')
  await page.getByText('the endpoint answered with status 404').waitFor()
  t.equal(await page.getByLabel('Models').inputValue(), 'model-a', 'nothing is lost where there is no list')
  upstream.answer((_, response) => json(response, { data: [{ id: 'model-a' }, { id: 'org/model-b' }] }))
  await press('Fill in what the endpoint lists')
  await page.getByText('2 models').waitFor()
  t.equal(await page.getByLabel('Models').inputValue(), 'model-a, org/model-b')
  await page.getByLabel('Name', { exact: true }).fill('Research 研究')
  await press('Save')
  await page.getByText('Saved.').waitFor()
  await page.getByRole('heading', { name: 'Research 研究' }).waitFor()
  t.match(await item(), {
    name: 'Research 研究',
    base_url: '',
    models: [{ model_id: 'model-a', support_vision: true }, { model_id: 'org/model-b' }],
  })

  await press('Change')
  t.equal(await page.getByLabel('API key').count(), 0)
  await page.getByLabel('Base URL').fill(`${elsewhere.origin}/v1`)
  await page.getByLabel('API key').fill('sk-another-canary-0123456789')
  await press('Save')
  await page.getByText('Saved.').waitFor()
  t.equal((await item()).base_url, `${elsewhere.origin}/v1`)
  await press('Test')
  await page.locator('.checks').waitFor()
  t.match(elsewhere.calls.at(-1)?.headers, { authorization: 'Bearer sk-another-canary-0123456789' })

  await press('Change')
  await broker.admin('PUT', `/api/models/configs/${made.body.id}`, { name: 'meanwhile' })
  await page.getByLabel('Name', { exact: true }).fill('too late')
  await press('Save')
  await page.getByRole('alert').filter({ hasText: 'was changed since it was read' }).waitFor()
  t.equal((await item()).name, 'meanwhile')
  t.same(problems, [])
})

withBrowser(t, 'a key is changed, and rotated with an overlap', async (t) => {
  const here = await visit(t)
  const { broker, page, problems } = here
  const { configId, key } = await broker.connect('Research')
  const other = await broker.connect('Other')
  await broker.admin('DELETE', `/api/models/configs/${other.configId}`)
  const { id } = (await broker.admin('GET', '/api/keys')).body.items[0]
  const ends = Date.now() + 90 * 86_400_000
  await broker.admin('PATCH', `/api/keys/${id}`, { name: 'App', requests_per_minute: 7, expires_at: ends })
  const item = async () =>
    (await broker.admin('GET', '/api/keys')).body.items.find((one: { id: string }) => one.id === id)
  await signIn(here)
  await go(here, '#/keys')
  const row = page.locator('.keys li', { hasText: 'App' })
  t.match(await row.textContent(), /Never used/)

  await row.getByRole('button', { name: 'Change: App' }).click()
  t.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'App')
  t.equal(await page.getByLabel('Requests a minute').inputValue(), '7')
  await page.locator('.choices-list .choice', { hasText: 'Research' }).waitFor()
  t.ok(await page.locator('.choice', { hasText: 'Research' }).getByRole('checkbox').isChecked())
  await page.getByLabel('Name', { exact: true }).fill('App 2')
  await page.getByLabel('Models').fill('sandbox-model')
  await page.getByLabel('Requests a minute').fill('')
  await page.locator('key-form button.primary').click()
  await page.locator('key-form').waitFor({ state: 'detached' })
  t.match(await item(), {
    name: 'App 2',
    models: ['sandbox-model'],
    requests_per_minute: null,
    model_config_ids: [configId],
    expires_at: ends,
  })

  await page.getByRole('button', { name: 'Change: App 2' }).click()
  await page.getByText('All, also those to come').click()
  await page.getByLabel('Models').fill('')
  await page.getByLabel('Expires').selectOption('Never')
  await page.locator('key-form button.primary').click()
  await page.locator('key-form').waitFor({ state: 'detached' })
  t.match(await item(), { models: null, model_config_ids: null, expires_at: null })

  const status = async (which: string) =>
    (await call(`${broker.origin}/v1/models`, 'GET', undefined, which)).status
  const rotate = async (overlap: string) => {
    await page.getByRole('button', { name: 'Rotate: App 2' }).click()
    await page.getByRole('dialog').getByLabel('The old key works for').selectOption(overlap)
    await page.getByRole('dialog').getByRole('button', { name: 'Rotate' }).click()
    await page.locator('new-key .secret code').waitFor()
    return (await page.locator('new-key .secret code').textContent()) ?? ''
  }
  const second = await rotate('an hour')
  await page.getByText('The one before works until').waitFor()
  t.not(second, key)
  for (const which of [key, second]) t.equal(await status(which), 200)
  await page.getByRole('button', { name: 'I have copied it' }).click()
  const third = await rotate('not at all')
  t.equal(await page.getByText('The one before works until').count(), 0)
  for (const which of [key, second]) t.equal(await status(which), 401)
  t.equal(await status(third), 200)
  await page.getByRole('button', { name: 'I have copied it' }).click()
  t.match(await page.locator('.keys li', { hasText: 'App 2' }).textContent(), / · Used /)
  t.equal((await item()).id, id)
  t.same(problems, [])
})
