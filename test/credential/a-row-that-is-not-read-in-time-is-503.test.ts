/** A database that owes an answer: whoever waits for a row that is in no cache is told, and hears when to come back. */
import t from 'tap'
import type { Credential } from '../../src/credential/credential.ts'
import { CredentialCache } from '../../src/credential/credential-cache.ts'
import type { CredentialStore } from '../../src/credential/credential-store.ts'
import { Credentials } from '../../src/credential/credentials.ts'
import type { LocalKeys } from '../../src/credential/local-keys.ts'
import { credential } from './fixtures/credential.ts'

t.test('as long as it can wait, and no longer; the read goes on for those who come next', async (t) => {
  const row = Promise.withResolvers<Credential>()
  let reads = 0
  const load = () => {
    reads += 1
    return row.promise
  }
  const cache = new CredentialCache({ seen: 0, hasChanged: () => false })
  const noRefresh = { refresh: () => t.fail('nothing is due'), putRight: () => t.fail('nothing is behind') }
  const credentials = new Credentials(
    cache,
    { load } as unknown as CredentialStore,
    noRefresh as never,
    {} as LocalKeys,
    () => 1,
  )
  await t.rejects(credentials.usable('c', undefined, 50), {
    code: 'storage_unavailable',
    retryAfterSeconds: 5,
  })
  const next = credentials.usable('c', undefined, 10_000)
  row.resolve(credential({ configId: 'c', tokens: { expiresAt: undefined } }))
  t.equal((await next).configId, 'c')
  t.equal(reads, 1)
})
