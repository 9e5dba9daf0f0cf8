import t from 'tap'
import { ModelConfigStore } from '../../src/admin/model-config-store.ts'
import { createLog } from '../../src/base/log.ts'
import { clearedColumns } from '../../src/credential/credential-store.ts'
import { ChangeWatcher } from '../../src/storage/changes.ts'
import type { Broker } from '../support/broker.ts'
import { openTables } from '../support/tables.ts'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

const ACCOUNTS = 500

async function addAccounts(t: Parameters<typeof visit>[0], broker: Broker): Promise<void> {
  const database = openTables(t, broker, { kind: 'SQLite', url: 'sqlite:' })
  const store = new ModelConfigStore(database, new ChangeWatcher(database, createLog('silent')))
  for (let n = 0; n < ACCOUNTS; n += 1) {
    const fields = {
      name: `account-${String(n).padStart(3, '0')}`,
      ...{ provider: 'sandbox', base_url: '', api_key: '', models: [], aliases: {}, is_active: true },
    }
    await store.create(fields, {
      columns: clearedColumns(n % 50 === 0 ? 'reauth_required' : 'active'),
      sessionId: undefined,
    })
  }
}

withBrowser(t, 'a page at a time, found by name, and as quick as with five', async (t) => {
  const here = await visit(t)
  const { broker, page, problems } = here
  await broker.connect('the first')
  await signIn(here)
  const timed = async (hash: string) => {
    await go(here, '#/audit')
    const startedAt = performance.now()
    await go(here, hash)
    return performance.now() - startedAt
  }
  const alone = Math.min(await timed('#/overview'), await timed('#/overview'), await timed('#/overview'))
  await addAccounts(t, broker)
  await go(here, '#/overview')
  await page.getByText('1–20 of 501').waitFor()
  const among = Math.min(await timed('#/overview'), await timed('#/overview'), await timed('#/overview'))
  t.ok(among < 4 * alone + 300, `${Math.round(among)} ms with ${ACCOUNTS}, ${Math.round(alone)} ms with one`)

  t.equal(await page.locator('.row').count(), 20)
  t.ok(
    (await page.evaluate<number>(`document.querySelectorAll('*').length`)) < 5_000,
    'the page holds one page of them',
  )
  await page.getByText('10 accounts need a person').waitFor()
  await page.getByRole('button', { name: 'Next' }).click()
  await page.getByText('21–40 of 501').waitFor()
  await page.locator('.row', { hasText: 'account-025' }).waitFor()
  await page.getByPlaceholder('Find by name').fill('ACCOUNT-49')
  await page.locator('.row', { hasText: 'account-499' }).waitFor()
  t.equal(await page.locator('.row').count(), 10)
  await page.getByPlaceholder('Find by name').fill('')
  await page.getByRole('button', { name: 'Show all' }).click()
  await page.locator('.row', { hasText: 'account-450' }).waitFor()
  t.equal(await page.locator('.row').count(), 10)
  await page.getByPlaceholder('Find by name').fill('nobody')
  await page.getByText('Nothing matches.').waitFor()
  t.same(problems, [])
})
