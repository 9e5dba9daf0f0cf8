/**
 * A database that goes back to an earlier state: the tokens in its rows were spent, and are not sent again.
 */
import t, { type Test } from 'tap'
import { fingerprint } from '../../src/credential/credential.ts'
import { type Broker, startBroker } from '../support/broker.ts'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'
import { complete, logIn, openScene, type Scene } from './fixtures/refreshing.ts'

/** An hour left, so that nothing is due by itself. */
const CALM = { expiresInMs: 3_600_000 }

async function history(t: Test, db: TestDatabase, scene: Scene) {
  const database = openTables(t, scene.broker, db)
  const read = () =>
    database.run((kysely) => kysely.selectFrom('model_configs').selectAll().executeTakeFirstOrThrow())
  const early = await read()
  const metadata = early.oauth_metadata
  const oauth_metadata = typeof metadata === 'string' ? metadata : JSON.stringify(metadata)
  return {
    read,
    /** Word for word what it was. */
    goBack: () =>
      database.run((kysely) =>
        kysely
          .updateTable('model_configs')
          .set({ ...early, oauth_metadata })
          .execute(),
      ),
    isNewest: async ({ oauth_refresh_fingerprint: newest }: Awaited<ReturnType<typeof read>>) =>
      (await read()).oauth_refresh_fingerprint === newest,
    early,
  }
}

const refresh = ({ admin }: Pick<Broker, 'admin'>, id: string) =>
  admin('POST', `/api/models/configs/${id}/refresh`)

async function refreshed(
  scene: Scene,
  read: () => Promise<{ oauth_state: string }>,
  times = 2,
): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    const answer = await refresh(scene.broker, scene.configId)
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
    await waitUntil(async () => (await read()).oauth_state === 'active')
  }
}

onEachDatabase(t, 'who refreshed it notices by itself, and stores it again', async (t, db) => {
  const scene = await openScene(t, db, CALM)
  const { read, goBack, isNewest } = await history(t, db, scene)
  await refreshed(scene, read)
  const newest = await read()
  await goBack()
  await waitUntil(() => isNewest(newest))
  t.match(await read(), { oauth_state: 'active', oauth_version: newest.oauth_version })
  t.equal((await scene.complete()).status, 200)
  t.match(scene.broker.sandbox.counts, { refreshRequests: 2, reusesDetected: 0 })
})

onEachDatabase(t, 'a refresh of a row that has just gone back sends the newest token', async (t, db) => {
  const scene = await openScene(t, db, CALM)
  const { read, goBack } = await history(t, db, scene)
  await refreshed(scene, read)
  await goBack()
  t.equal((await refresh(scene.broker, scene.configId)).status, 200)
  await waitUntil(async () => (await read()).oauth_version >= 4)
  t.match(scene.broker.sandbox.counts, { refreshGrants: 3, reusesDetected: 0, familiesRevoked: 0 })
})

onEachDatabase(
  t,
  'callers get the newest token, whatever the row says and upstream refuses',
  async (t, db) => {
    const scene = await openScene(t, db, CALM)
    const { read, goBack } = await history(t, db, scene)
    await refreshed(scene, read)
    t.equal((await scene.complete()).status, 200)
    const newest = scene.lastBearer()
    await goBack()
    await scene.setRow({ next_attempt_at: 0 }) // and everything cached is to be read again
    for (let i = 0; i < 5; i += 1) {
      t.equal((await scene.complete()).status, 200)
      t.equal(scene.lastBearer(), newest)
    }
    t.equal(scene.broker.sandbox.counts.reusesDetected, 0)
  },
)

onEachDatabase(t, 'a broker that starts on it finds what its journal holds', async (t, db) => {
  const scene = await openScene(t, db, CALM)
  const { read, goBack, isNewest } = await history(t, db, scene)
  await refreshed(scene, read, 3)
  const newest = await read()
  await scene.broker.app.close(0)
  await goBack()
  const next = await startBroker(t, {
    databaseUrl: db.url,
    shared: scene.broker.sandbox,
    env: { DATA_DIR: scene.broker.dataDir },
  })
  t.equal((await complete(next, scene.key)).status, 200)
  await waitUntil(() => isNewest(newest))
  t.equal((await refresh(next, scene.configId)).status, 200)
  t.match(scene.broker.sandbox.counts, { refreshGrants: 4, reusesDetected: 0 })
})

onEachDatabase(t, 'a new login outranks all that was known of the old one', async (t, db) => {
  const scene = await openScene(t, db, CALM)
  const { read, goBack, early } = await history(t, db, scene)
  await refreshed(scene, read, 3)
  await goBack()
  const oauth_token = { ...(await logIn(scene.broker)), expires_at: Date.now() + 3_600_000 }
  const put = await scene.broker.admin('PUT', `/api/models/configs/${scene.configId}`, { oauth_token })
  t.equal(put.status, 200, JSON.stringify(put.body))
  const held = await read()
  t.equal(held.oauth_refresh_fingerprint, fingerprint(oauth_token.refresh_token))
  t.ok(held.oauth_login_at > early.oauth_login_at)
  await scene.broker.app.close(0)
  const next = await startBroker(t, {
    databaseUrl: db.url,
    shared: scene.broker.sandbox,
    env: { DATA_DIR: scene.broker.dataDir },
  })
  t.equal((await complete(next, scene.key)).status, 200)
  t.equal((await read()).oauth_refresh_fingerprint, fingerprint(oauth_token.refresh_token))
  t.equal((await refresh(next, scene.configId)).status, 200)
  t.equal(scene.broker.sandbox.counts.reusesDetected, 0)
})
