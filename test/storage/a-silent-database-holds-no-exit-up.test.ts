/** A broker that is told to stop while its database is silent: it ends, and nothing it has read is lost. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Broker, startBroker } from '../chaos/broker.ts'
import type { Lab } from '../chaos/lab.ts'
import { callOnce } from '../chaos/load.ts'
import { seeded } from '../chaos/random.ts'
import { connect, openSandbox, openSchema } from '../chaos/stage.ts'
import { onOwnMysql } from '../support/databases.ts'
import { childrenOf, isAlive } from '../support/processes.ts'
import { waitUntil } from '../support/wait-until.ts'

/** It took 150 s, and two seconds are enough; but the machine may be busy. */
const ENOUGH_MS = 40_000

function openLab(t: Test): Lab {
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-exit-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return {
    ...{ seed: 1, random: seeded(1), dir, size: (full) => full, say() {} },
    teardown: (work) => void t.teardown(() => work()),
  }
}

onOwnMysql(t, 'with a token that is still to be stored, and counts', [[]], async (t, { server }) => {
  const lab = openLab(t)
  const sandbox = await openSandbox(lab)
  const schema = await openSchema(lab, server)
  const env = { SHUTDOWN_GRACE_SECONDS: '1' }
  const broker = await startBroker(lab, { databaseUrl: schema.url, sandbox: sandbox.origin, env })
  const config = await connect(broker, sandbox)
  t.equal((await broker.complete(config.key)).status, 200)

  broker.grants.onAnswer = () => broker.database.drop()
  void callOnce(() => broker.admin('POST', `/api/models/configs/${config.id}/refresh`))
  await waitUntil(() => broker.grants.sent.length === 1)
  await sleep(1_000) // it has the answer, and begins to store it
  broker.signal('SIGTERM')
  const told = performance.now()
  while (isAlive(broker.pid) && performance.now() - told < ENOUGH_MS) await sleep(50)
  t.notOk(isAlive(broker.pid), 'it has ended')

  broker.database.heal('forgotten')
  await broker.start()
  t.ok(await schema.rows.untilNewest(config.id, config.login, ENOUGH_MS), 'the answer was in the journal')
  t.equal(sandbox.counts.reusesDetected, 0)
})

/** Beyond the grace of calls. */
const AFTERWARDS_MS = 5_000

for (const [workers, grace] of [
  ['1', '0'],
  ['1', '2'],
  ['2', '2'],
] as const) {
  const name = `WORKERS=${workers}, SHUTDOWN_GRACE_SECONDS=${grace}: it takes at most 5 s longer than with a database that answers`
  onOwnMysql(t, name, [[]], async (t, { server }) => {
    const lab = openLab(t)
    const sandbox = await openSandbox(lab)
    const schema = await openSchema(lab, server)
    const env = { SHUTDOWN_GRACE_SECONDS: grace, WORKERS: workers }
    const options = { databaseUrl: schema.url, sandbox: sandbox.origin, env }
    const [silent, other] = await Promise.all([startBroker(lab, options), startBroker(lab, options)])
    const { key } = await connect(other, sandbox)
    for (const broker of [silent, other]) {
      t.equal((await broker.complete(key)).status, 200)
      sandbox.faults.next('upstream', { hang: true })
      const before = sandbox.counts.upstreamCalls
      void callOnce(() => broker.complete(key))
      await waitUntil(() => sandbox.counts.upstreamCalls > before)
      // Written down two seconds later, or at the end.
      t.equal((await broker.call('GET', '/api/keys', undefined, 'a wrong token')).status, 401)
    }
    silent.database.drop()
    const [silentMs, otherMs] = await Promise.all([msToEnd(t, silent), msToEnd(t, other)])
    t.comment(`${Math.round(silentMs)} ms, and ${Math.round(otherMs)} ms`)
    t.ok(silentMs - otherMs < AFTERWARDS_MS)
  })
}

/** Until it is gone, with all its processes. */
async function msToEnd(t: Test, broker: Broker): Promise<number> {
  const children = childrenOf(broker.pid)
  const since = performance.now()
  t.equal(await broker.terminate(), 0, broker.log())
  while (children.some(isAlive)) await sleep(20)
  return performance.now() - since
}
