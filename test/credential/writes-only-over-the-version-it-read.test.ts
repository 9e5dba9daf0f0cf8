import t, { type Test } from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { Secret } from '../../src/base/secret.ts'
import type { Credential } from '../../src/credential/credential.ts'
import { CredentialStore, LEASE_MS } from '../../src/credential/credential-store.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { changed, provider } from './fixtures/credential.ts'
import { openScene } from './fixtures/refreshing.ts'

async function openStore(t: Test, database: TestDatabase) {
  // An hour left, so that the broker itself leaves it alone.
  const scene = await openScene(t, database, { expiresInMs: 3_600_000 })
  const ring = new KeyRing([new Secret(BUILT_IN_ENCRYPTION_KEY)])
  const providers = new Map([['sandbox', { ...provider(), name: 'sandbox' }]])
  const seals = new RowSeals(ring)
  const store = new CredentialStore(openTables(t, scene.broker, database), ring, seals, providers)
  const load = async (): Promise<Credential> => {
    const credential = await store.load(scene.configId)
    if (!credential) throw new Error('no such config')
    return credential
  }
  return { ...scene, seals, store, load }
}

const released = { state: 'active', nextAttemptAt: 0, error: '', isExpiring: false } as const

onEachDatabase(t, 'a lease goes to one, and not to whoever read an older row', async (t, db) => {
  const { store, load } = await openStore(t, db)
  const row = await load()
  t.equal(await store.claimLease({ ...row, version: row.version - 1 }, 'late', 'attempt-0'), false)
  t.equal(await store.claimLease({ ...row, version: row.version + 1 }, 'early', 'attempt-0'), false)
  t.equal(await store.claimLease({ ...row, state: 'uncertain' }, 'wrong', 'attempt-0'), false)
  const claims = ['a', 'b', 'c', 'd'].map((name) => store.claimLease(row, name, `attempt-${name}`))
  t.equal((await Promise.all(claims)).filter(Boolean).length, 1)
  const claimed = await load()
  t.match(claimed, { state: 'refreshing', attempt: { leaseIsLive: true } })
  t.equal(await store.claimLease(claimed, 'e', 'attempt-e'), false, 'not while it lives')
})

onEachDatabase(t, 'a lease ends by the clock of the database', async (t, db) => {
  const { store, load, setRow } = await openStore(t, db)
  await store.claimLease(await load(), 'a', 'attempt-a')
  await setRow({ lease_until: Date.now() + LEASE_MS })
  t.equal((await load()).attempt.leaseIsLive, true)
  await setRow({ lease_until: Date.now() - 1_000 })
  t.equal((await load()).attempt.leaseIsLive, false)
  t.equal(await store.claimLease(await load(), 'b', 'attempt-b'), true)
})

onEachDatabase(t, 'only the holder of the lease gives it back or clears the row', async (t, db) => {
  const { store, load, row } = await openStore(t, db)
  const before = await load()
  await store.claimLease(before, 'a', 'attempt-a')
  t.equal(await store.release(before, 'attempt-b', released), false)
  t.equal(await store.clear(before, 'attempt-b', 'invalid_grant'), false)
  t.equal(await store.clear({ ...before, version: 0 }, 'attempt-a', 'invalid_grant'), false)
  t.match(await row(), { oauth_state: 'refreshing', oauth_access_token: String })
  t.equal(await store.release(before, 'attempt-a', released), true)
  t.match(await load(), { state: 'active', version: before.version, attempt: { id: undefined } })
})

onEachDatabase(t, 'tokens are written over the version they came from, once', async (t, db) => {
  const { store, load } = await openStore(t, db)
  const before = await load()
  const by = (lastId: string, accessToken: string) =>
    changed(before, { version: before.version + 1, tokens: { accessToken }, attempt: { lastId } })
  const renewed = by('attempt-a', 'newer-access-token')
  t.equal(await store.storeRenewed({ ...before, version: 0 }, renewed), false)
  t.equal(await store.storeRenewed(before, renewed), true)
  t.equal(await store.storeRenewed(before, by('attempt-b', 'older')), false)
  t.match(await load(), {
    version: before.version + 1,
    tokens: { accessToken: 'newer-access-token' },
    attempt: { lastId: 'attempt-a' },
    state: 'active',
  })
})

onEachDatabase(
  t,
  'what was known is stored over a row that went back, if that is still what was read',
  async (t, db) => {
    const { store, load } = await openStore(t, db)
    const before = await load()
    const known = changed(before, { version: 7, tokens: { accessToken: 'known-access-token' } })
    t.equal(await store.storeRenewed({ ...before, loginAt: before.loginAt - 1 }, known), false)
    t.equal(await store.storeRenewed(before, { ...known, state: 'refreshing' }), true)
    t.match(await load(), { version: 7, state: 'uncertain', tokens: { accessToken: 'known-access-token' } })
  },
)

onEachDatabase(
  t,
  'a login that is asked for because the row went back leaves the version as it is',
  async (t, db) => {
    const { seals, store, load } = await openStore(t, db)
    const before = await load()
    t.equal(await store.askForLogin({ ...before, version: 0 }, 'gone back'), false)
    seals.enforce() // what was written is sealed as a row must be
    t.equal(await store.askForLogin(before, 'gone back'), true)
    t.match(await load(), {
      version: before.version,
      state: 'reauth_required',
      tokens: { refreshToken: undefined },
    })
    t.equal(
      await store.storeRenewed(before, { ...before, version: before.version + 1 }),
      true,
      'and can be put right',
    )
  },
)
