import t from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { createLog } from '../../src/base/log.ts'
import { Secret } from '../../src/base/secret.ts'
import { NewLogins } from '../../src/credential/new-logins.ts'
import { openTokenPersistence } from '../../src/credential/persistence/database-token-persistence.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { ModelConfigStore } from '../../src/model-config/model-config-store.ts'
import { ChangeWatcher } from '../../src/storage/changes.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import type { Broker } from '../support/broker.ts'
import { openTables } from '../support/tables.ts'
import { go, signIn, visit, withBrowser } from './fixtures/browser.ts'

const ACCOUNTS = 500

async function addAccounts(t: Parameters<typeof visit>[0], broker: Broker): Promise<void> {
  const database = openTables(t, broker, { kind: 'SQLite', url: 'sqlite:' })
  const changes = new ChangeWatcher(database, createLog('silent'))
  const keyRing = new KeyRing([new Secret(BUILT_IN_ENCRYPTION_KEY)])
  const seals = new RowSeals(keyRing)
  const store = new ModelConfigStore(database, seals, changes)
  const none = new NewLogins(
    database,
    seals,
    openTokenPersistence(database, keyRing, seals, new Map()),
  ).none()
  for (let n = 0; n < ACCOUNTS; n += 1) {
    const fields = {
      name: `account-${String(n).padStart(3, '0')}`,
      ...{ provider: 'sandbox', base_url: '', api_key: '', models: [], aliases: {}, is_active: true },
    }
    const oauth_state = n % 50 === 0 ? 'reauth_required' : 'active'
    await store.create(fields, { ...none, first: (row) => ({ ...none.first(row), oauth_state }) })
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
  await page.getByText('10 accounts need you').waitFor()
  await page.getByRole('button', { name: 'Next' }).click()
  await page.getByText('21–40 of 501').waitFor()
  await page.locator('.row', { hasText: 'account-470' }).waitFor()
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
