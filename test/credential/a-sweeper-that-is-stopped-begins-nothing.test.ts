import t from 'tap'
import { createLog } from '../../src/base/log.ts'
import { Sweeper } from '../../src/credential/sweeper.ts'
import { credential } from './fixtures/credential.ts'

type Parts = ConstructorParameters<typeof Sweeper>[0]

/** One login is due, in a database that says so when it is told to. */
function openStage() {
  const due = credential({ tokens: { expiresAt: 1_000 } })
  const { provider, configId, version } = due
  const answer = Promise.withResolvers<ReadonlySet<string>>()
  const refreshed: string[] = []
  const parts = {
    store: {
      providersWithSoonDue: () => answer.promise,
      async *soonDue() {
        yield { configId, version, updatedAt: 0, expiresAt: 1_000, receivedAt: undefined }
      },
      loadMany: async () => [due],
    },
    refresher: {
      isHeld: () => false,
      refreshInBackground: () => {
        refreshed.push(configId)
        return { startedAt: 0 }
      },
    },
    providers: new Map([[provider.name, provider]]),
    changes: { clock: () => 2_000, seen: 0 },
    log: createLog('silent', { write: () => {} }),
  }
  const sweeper = new Sweeper(parts as unknown as Parts)
  return { sweeper, refreshed, configId, answered: () => answer.resolve(new Set([provider.name])) }
}

t.test('it is stopped while it waits for the first answer of the database', async (t) => {
  const { sweeper, refreshed, answered } = openStage()
  const sweeping = sweeper.sweep()
  sweeper.stop()
  answered()
  await sweeping
  t.same(refreshed, [])
})

t.test('else what is due is refreshed', async (t) => {
  const { sweeper, refreshed, answered, configId } = openStage()
  answered()
  await sweeper.sweep()
  t.same([...new Set(refreshed)], [configId])
})
