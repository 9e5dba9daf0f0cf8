/** A config that changes while its row is read, or while its tokens are renewed. */
import t, { type Test } from 'tap'
import { createLog } from '../../src/base/log.ts'
import type { Credential } from '../../src/credential/credential.ts'
import { CredentialCache } from '../../src/credential/credential-cache.ts'
import type { CredentialStore } from '../../src/credential/credential-store.ts'
import { Credentials } from '../../src/credential/credentials.ts'
import type { LocalKeys } from '../../src/credential/local-keys.ts'
import type { Outcome } from '../../src/credential/refresh-step.ts'
import { ChangeWatcher } from '../../src/storage/changes.ts'
import { open } from '../storage/fixtures/open.ts'
import { credential } from './fixtures/credential.ts'

const BEFORE = credential({ baseUrl: 'https://before.example' })
const AFTER = credential({ baseUrl: 'https://after.example' })
const RENEWED = { version: 2, tokens: { accessToken: 'access-2' } }
const DUE = 999_999

/** A row that is read as the test says, and a refresh that ends as it says. */
function setUp(t: Test, now = 0) {
  const changes = new ChangeWatcher(
    open(t, { kind: 'SQLite', url: 'sqlite:' }, t.testdir()),
    createLog('silent'),
  )
  const cache = new CredentialCache(changes)
  const reads: PromiseWithResolvers<Credential>[] = []
  const load = () => {
    const read = Promise.withResolvers<Credential>()
    reads.push(read)
    return read.promise
  }
  const refresh = Promise.withResolvers<Outcome>()
  const flight = () => ({ startedAt: Date.now(), outcome: refresh.promise, done: Promise.resolve() })
  const store = { load, isAway: false } as unknown as CredentialStore
  const credentials = new Credentials(
    cache,
    store,
    { refresh: flight, putRight: flight },
    {} as LocalKeys,
    () => now,
  )
  const usable = async () => (await credentials.usable(BEFORE.configId)).baseUrl
  const change = () => changes.noticed([{ kind: 'config', id: BEFORE.configId }])
  return { cache, credentials, usable, change, changes, reads, refresh }
}

t.test('nobody joins a read that began before it, and what that brings is not kept', async (t) => {
  const { credentials, usable, change, reads } = setUp(t)
  const [first, joined] = [usable(), usable()]
  t.equal(reads.length, 1)
  change()
  const second = usable()
  t.equal(reads.length, 2)
  reads[1]?.resolve(AFTER)
  t.equal(await second, AFTER.baseUrl)
  reads[0]?.resolve(BEFORE)
  t.same([await first, await joined], [BEFORE.baseUrl, BEFORE.baseUrl])
  t.equal(credentials.peek(BEFORE.configId), AFTER, 'nor does it take the place of what was read later')
})

t.test('nor is it when it ends before any other read', async (t) => {
  const { credentials, usable, change, reads } = setUp(t)
  const first = usable()
  change()
  reads[0]?.resolve(BEFORE)
  await first
  t.equal(credentials.peek(BEFORE.configId), undefined)
})

t.test('a pause that is told after it does not bring the old config back', async (t) => {
  const { cache, usable, change, reads, refresh } = setUp(t, DUE)
  const first = usable()
  reads[0]?.resolve(BEFORE)
  await new Promise((resolve) => setImmediate(resolve))
  change()
  refresh.resolve({ kind: 'unchanged', why: 'a reason', retryAt: DUE + 1 })
  await first
  t.equal(cache.get(BEFORE.configId), undefined)
})

t.test('new tokens go with the config as it was read last, and as it is', async (t) => {
  const { cache, change, changes } = setUp(t)
  const { configId } = BEFORE
  const renewed = credential({ ...RENEWED, baseUrl: BEFORE.baseUrl })
  const { seen } = changes
  cache.put(BEFORE, seen)
  change()
  cache.publish(renewed, seen)
  t.equal(cache.get(configId), undefined, 'not read since')
  t.equal(cache.newest(configId)?.version, 2)

  cache.forget(configId)
  cache.put(AFTER, changes.seen)
  cache.publish(renewed, seen)
  t.match(cache.get(configId), { ...RENEWED, baseUrl: AFTER.baseUrl })

  cache.publish(credential({ ...renewed, version: 3 }))
  t.match(cache.get(configId), { version: 3, baseUrl: AFTER.baseUrl }, 'from another process')
  cache.publish(credential({ ...RENEWED, loginAt: 1, baseUrl: BEFORE.baseUrl }))
  t.equal(cache.get(configId), undefined, 'of another login, whose config was not read here')
})
