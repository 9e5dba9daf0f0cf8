/** A database that goes back loses what was written last: that much is looked at each second, and all of it once some is lost. */
import t from 'tap'
import { createLog } from '../../src/base/log.ts'
import { type Credential, isOlder } from '../../src/credential/credential.ts'
import { CredentialCache } from '../../src/credential/credential-cache.ts'
import type { CredentialStore } from '../../src/credential/credential-store.ts'
import type { Journal } from '../../src/credential/journal.ts'
import { Knowledge } from '../../src/credential/knowledge.ts'
import { Refresher } from '../../src/credential/refresh.ts'
import { RefusedSources } from '../../src/credential/refused-sources.ts'
import { credential } from './fixtures/credential.ts'

const COUNT = 1_100
/** In one query. */
const LOOK_UPS = 250
const NOW = 1_000_000_000

/** A refresher over rows in memory, at a server that gives everybody new tokens. */
function refresherOver(rows: Map<string, Credential>) {
  const cache = new CredentialCache({ seen: 0, hasChanged: () => false })
  const asked: number[] = []
  let sent = 0
  const store = {
    load: async (configId: string) => rows.get(configId),
    claimLease: async () => true,
    storeRenewed: async (from: Credential, renewed: Credential) => {
      if (rows.get(from.configId)?.version !== from.version) return false
      rows.set(from.configId, renewed)
      return true
    },
    standings: async (ids: readonly string[]) => {
      asked.push(ids.length)
      return new Map(ids.map((id) => [id, rows.get(id)]))
    },
  }
  const journal = {
    isRead: true,
    begin() {},
    keep() {},
    done() {},
    last() {},
    pending: () => [],
    standings: () => new Map(),
  }
  const refresher = new Refresher({
    store: store as unknown as CredentialStore,
    journal: journal as unknown as Journal,
    knowledge: new Knowledge(cache, journal as unknown as Journal),
    clock: () => NOW,
    changes: { seen: 0 },
    log: createLog('silent'),
    owner: 'me',
    refusedSources: new RefusedSources(async () => undefined),
    providers: new Map(),
    renew: async ({ tokens }) => {
      sent += 1
      return { kind: 'tokens', tokens: { ...tokens, expiresAt: NOW + 3_600_000 } }
    },
    publish: (one) => cache.put(one, 0),
    forget() {},
    settled() {},
  })
  return { refresher, asked, sent: () => sent }
}

t.test('one query of a few hundred at most, unless some of these are lost', async (t) => {
  const before = Array.from({ length: COUNT }, (_, index) =>
    credential({ configId: `c-${index}`, tokens: { expiresAt: NOW } }),
  )
  const rows = new Map(before.map((one) => [one.configId, one]))
  const { refresher, asked, sent } = refresherOver(rows)
  await refresher.lookAfterStored()
  t.same(asked, [], 'nothing to look after')
  await Promise.all(before.map((one) => refresher.refresh(one).done))
  await refresher.lookAfterStored()
  t.same(asked, [LOOK_UPS])

  const stored = new Map(rows)
  for (const one of before) rows.set(one.configId, one)
  await refresher.lookAfterStored()
  t.same(asked, [LOOK_UPS, LOOK_UPS, LOOK_UPS, LOOK_UPS, LOOK_UPS, COUNT - 4 * LOOK_UPS])
  for (const [id, one] of stored) if (isOlder(rows.get(id) ?? one, one)) t.fail(`${id} is behind`)
  t.equal(sent(), COUNT, 'nothing is sent for it')
})
