/** The sweeper: refreshes what nobody asks for, a little early, and once over all replicas. */
import t, { type Test } from 'tap'
import { createLog } from '../../src/base/log.ts'
import { isSweepDue } from '../../src/credential/sweep-moment.ts'
import { loadConfig } from '../../src/settings/config.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { type Broker, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { credential } from './fixtures/credential.ts'
import { openSweeper } from './fixtures/sweeping.ts'

/** A sweeper of its own beside a broker, as another replica has one. */
async function sweeperBeside(t: Test, broker: Broker, databaseUrl: string) {
  const env = { DATA_DIR: broker.dataDir, DATABASE_URL: databaseUrl }
  const config = loadConfig(readSettings(env), env, { sandboxOrigin: broker.sandbox.origin })
  return openSweeper(t, config, createLog('silent'))
}

onEachDatabase(
  t,
  'an idle credential that is nearly due is refreshed, once by any number of sweepers',
  async (t, { url }) => {
    const broker = await startBroker(t, { databaseUrl: url, sandbox: { accessTokenSeconds: 3_600 } })
    const { configId } = await broker.connect()
    const one = await sweeperBeside(t, broker, url)
    const other = await sweeperBeside(t, broker, url)
    await one.sweeper.sweep()
    t.equal(broker.sandbox.counts.refreshGrants, 0, 'not due: left alone')

    await one.parts.database.run((db) =>
      db
        .updateTable('model_configs')
        .set({ oauth_expires_at: Date.now() + 60_000, oauth_refreshed_at: Date.now() - 3_540_000 })
        .execute(),
    )
    await Promise.all([one.sweeper.sweep(), other.sweeper.sweep(), one.sweeper.sweep()])
    t.equal(broker.sandbox.counts.refreshGrants, 1)
    t.equal(broker.sandbox.counts.reusesDetected, 0)
    t.match((await broker.admin('GET', `/api/models/configs/${configId}`)).body, {
      credential: { state: 'active' },
    })
    const events = await one.parts.database.run((db) => db.selectFrom('audit_events').selectAll().execute())
    t.match(events, [{ type: 'credential.refreshed', config_id: configId, config_name: 'practice' }])
  },
)

onEachDatabase(t, 'a refresh token that says when it ends is warned of, once a day', async (t, { url }) => {
  const broker = await startBroker(t, { databaseUrl: url, sandbox: { accessTokenSeconds: 3_600 } })
  await broker.connect()
  const { parts, sweeper } = await sweeperBeside(t, broker, url)
  await parts.database.run((db) =>
    db
      .updateTable('model_configs')
      .set({
        oauth_expires_at: Date.now() + 300_000,
        oauth_refreshed_at: Date.now() - 3_300_000,
        oauth_metadata: '{"refresh_expires_in":3600}',
        next_attempt_at: 0,
      })
      .execute(),
  )
  const warnings = () =>
    parts.database.run((db) =>
      db.selectFrom('audit_events').selectAll().where('type', '=', 'credential.expiring').execute(),
    )
  await sweeper.sweep()
  t.match(await warnings(), [{ reason: /^the refresh token ends at 20/ }])
  await sweeper.sweep()
  t.equal((await warnings()).length, 1)
})

t.test('each credential has its own moment, never after the inline path begins', async (t) => {
  const expiresAt = 10_000_000
  const at = (id: string, now: number) => isSweepDue(credential({ configId: id, tokens: { expiresAt } }), now)
  const inlineAt = expiresAt - 300_000
  t.equal(at('0000-x', inlineAt), false)
  t.equal(at('0000-x', inlineAt + 1), true)
  t.equal(at('ffff-x', inlineAt - 60_000), false)
  t.equal(at('ffff-x', inlineAt - 59_999), true)
})
