/**
 * F12: the encryption key is replaced under load, as README.md says: first both keys, then the new one first, then
 * `encryption-key rotate`, then the new one alone. Answers that no row holds yet wait in the journals all the while.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Secret } from '../../../src/base/secret.ts'
import { RowSeals } from '../../../src/credential/row-seals.ts'
import { KeyRing } from '../../../src/vault/key-ring.ts'
import { type Answer, must } from '../../support/broker.ts'
import { insertLogins, type PlannedLogin, planLogin } from '../../support/logins.ts'
import { providerOf, startTokenServer, type TokenServer } from '../../support/token-server.ts'
import { Balancer } from '../balancer.ts'
import { type Broker, ENCRYPTION_KEY as OLD, startBroker } from '../broker.ts'
import type { Gate, Lab, Row } from '../lab.ts'
import { type Call, callOnce, failuresOf, isFailed, Load, quantile } from '../load.ts'
import { openSandbox, openSchemaOf, runCommand, type Schema } from '../stage.ts'
import { countLost, keepAnswers } from './f12-kept-answers.ts'

const NEW = Buffer.from('a-new-key-a-new-key-a-new-key-12').toString('base64url').concat('=')
const KINDS = ['MySQL', 'SQLite'] as const
const PROVIDER = 'own'
/** Keys that brokers know already; one call in `COLD_EVERY` comes with one that they have not met. */
const WARM_KEYS = 20
const COLD_EVERY = 10
/** Are refreshed again and again; the others are left for the rotation to seal. */
const BUSY_LOGINS = 20
const REFRESHES_A_SECOND = 5
/** The command reads so many rows at once and more, then writes them one by one. */
const FIRST_PAGE = 400
const TIMES = 2
/** Timers and garbage collection alone move a p99 by so much. */
const NOISE_MS = 5
/** Beside other tests only a standstill is told from their noise. */
const STANDSTILL_MS = 10_000
const POLL_MS = 10

interface Scene {
  readonly lab: Lab
  readonly kind: (typeof KINDS)[number]
  readonly schema: Schema
  readonly server: TokenServer
  readonly brokers: readonly Broker[]
  readonly balancer: Balancer
  /** By id, as rows are sealed. */
  readonly logins: readonly PlannedLogin[]
  readonly keys: readonly string[]
  /** For each broker: whose newest tokens its journal alone holds. */
  readonly pending: readonly (readonly PlannedLogin[])[]
}

export const keyRotation: Gate = {
  id: 'F12',
  title: 'encryption key rotated under load',
  async run(lab) {
    const rows: Row[] = []
    for (const kind of KINDS) rows.push(await rotate(await openScene(lab, kind)))
    return rows
  },
}

async function openScene(lab: Lab, kind: Scene['kind']): Promise<Scene> {
  const schema = await openSchemaOf(lab, kind)
  const sandbox = await openSandbox(lab)
  const server = await startTokenServer(lab)
  const { url: databaseUrl, dataDir } = schema
  const options = {
    ...{ databaseUrl, dataDir, sandbox: sandbox.origin },
    providers: { [PROVIDER]: providerOf(server) },
    env: { TOKEN_ENCRYPTION_KEY: `${OLD},${NEW}` },
  }
  const brokers = [await startBroker(lab, options)]
  if (kind === 'MySQL') brokers.push(await startBroker(lab, options))
  // Two sealed values each.
  const logins = planLogins(`${kind}-called`, lab.size(10_000, 150)).sort((a, b) => (a.id < b.id ? -1 : 1))
  const pending = brokers.map((_, index) => planLogins(`${kind}-kept-${index}`, lab.size(50, 5)))
  await insertLogins(schema.database, [...logins, ...pending.flat()], OLD)
  const keys: string[] = []
  for (const { id, name } of logins.slice(0, WARM_KEYS + lab.size(500, 20))) {
    const made = await must(
      (brokers[0] as Broker).admin('POST', '/api/keys', { name, model_config_ids: [id] }),
    )
    keys.push(made.key)
  }
  return { lab, kind, schema, server, brokers, balancer: new Balancer(brokers), logins, keys, pending }
}

function planLogins(prefix: string, count: number): PlannedLogin[] {
  const expiresAt = Date.now() + 3_600_000
  return Array.from({ length: count }, (_, index) =>
    planLogin({ name: `${prefix}-${index}`, provider: PROVIDER, expiresAt }),
  )
}

interface Phase {
  readonly calls: readonly Call[]
  readonly refreshes: readonly Call[]
}

interface Phases {
  readonly quiet: Phase
  readonly rotating: Phase
  readonly others: readonly Phase[]
  readonly rotatedMs: number
}

async function rotate(scene: Scene): Promise<Row> {
  const { lab } = scene
  const before = await restartAll(scene, `${NEW},${OLD}`)
  const journals = await keepAnswers(scene)
  const quiet = await underLoad(scene, () => sleep(lab.size(30_000, 2_000), undefined))
  const startedAt = performance.now()
  const rotating = await underLoad(scene, () => sealAnew(scene))
  const rotatedMs = performance.now() - startedAt
  const after = await restartAll(scene, NEW)
  const alone = await underLoad(scene, () => sleep(lab.size(10_000, 1_000), undefined))
  const lost = await countLost(scene)
  for (const journal of journals) journal.close()
  const phases = { quiet, rotating, others: [before, after, alone], rotatedMs }
  return judge(scene, phases, lost, await countShut(scene))
}

/** Calls and refreshes beside some work. @returns what became of them, and of refreshes that the work was */
async function underLoad(scene: Scene, work: () => Promise<readonly Call[] | undefined>): Promise<Phase> {
  const { lab, balancer, keys } = scene
  let [turn, refreshed] = [0, 0]
  const calls = new Load(lab.size(50, 10), () => {
    turn += 1
    const index =
      turn % COLD_EVERY === 0 ? WARM_KEYS + lab.random.whole(keys.length - WARM_KEYS) : turn % WARM_KEYS
    return balancer.send((broker) => broker.complete(String(keys[index]), 'm'))
  })
  const refreshes = new Load(REFRESHES_A_SECOND, () => {
    refreshed += 1
    return refresh(scene, refreshed % BUSY_LOGINS)
  })
  const more = (await work()) ?? []
  return { calls: await calls.stop(), refreshes: [...(await refreshes.stop()), ...more] }
}

function refresh({ balancer, logins }: Scene, index: number): Promise<Answer> {
  const path = `/api/models/configs/${logins[index]?.id}/refresh`
  return balancer.send((broker) => broker.admin('POST', path))
}

/** One after the other. A single one is away meanwhile, and has no load. */
async function restartAll(scene: Scene, encryptionKey: string): Promise<Phase> {
  const { brokers, balancer } = scene
  const restart = async () => {
    for (const broker of brokers) {
      await balancer.takeOut(broker)
      await broker.terminate()
      await broker.start({ TOKEN_ENCRYPTION_KEY: encryptionKey })
      balancer.putBack(broker)
    }
    return undefined
  }
  if (brokers.length > 1) return underLoad(scene, restart)
  await restart()
  return { calls: [], refreshes: [] }
}

/** The command for every DATA_DIR. @returns refreshes of rows that it had read, and was about to write */
async function sealAnew(scene: Scene): Promise<Call[]> {
  const { lab, kind, brokers, schema } = scene
  let isOver = false
  const racing = raceAgainst(scene, () => isOver)
  try {
    for (const { dataDir } of brokers) {
      const settings = { DATABASE_URL: schema.url, DATA_DIR: dataDir, TOKEN_ENCRYPTION_KEY: `${NEW},${OLD}` }
      lab.say(`${kind}: ${(await runCommand(['encryption-key', 'rotate'], settings)).trim()}`)
    }
  } finally {
    isOver = true
  }
  return racing
}

/** From the last of its first page up, as soon as a row that nobody refreshes is sealed with the new key. */
async function raceAgainst(scene: Scene, isOver: () => boolean): Promise<Call[]> {
  const { schema, logins } = scene
  const keyRing = new KeyRing([new Secret(NEW)])
  const calls: Call[] = []
  const hasBegun = async () => {
    const [row] = await schema.rows.snapshot([String(logins[BUSY_LOGINS]?.id)])
    return row !== undefined && keyRing.isCurrent(String(row.oauth_access_token))
  }
  while (!(isOver() || (await hasBegun()))) await sleep(POLL_MS)
  for (let index = Math.min(FIRST_PAGE, logins.length) - 1; index > BUSY_LOGINS && !isOver(); index -= 1) {
    calls.push(await callOnce(() => refresh(scene, index)))
  }
  return calls
}

/** Rows that the new key alone does not open, or whose seals do not hold with it. */
async function countShut({ schema }: Scene): Promise<number> {
  const keyRing = new KeyRing([new Secret(NEW)])
  const seals = new RowSeals(keyRing)
  seals.enforce()
  const rows = await schema.database.run((db) => db.selectFrom('model_configs').selectAll().execute())
  return rows.filter((row) => {
    try {
      seals.checkConfig(row)
      seals.checkOAuth(row)
      keyRing.open(String(row.oauth_access_token))
      keyRing.open(String(row.oauth_refresh_token))
      return false
    } catch {
      return true
    }
  }).length
}

function judge(scene: Scene, phases: Phases, lost: number, shut: number): Row {
  const { lab, kind, brokers, logins, pending, server } = scene
  const { quiet, rotating, others, rotatedMs } = phases
  const [before, during] = [quiet, rotating].map(({ calls }) =>
    quantile(
      calls.map(({ ms }) => ms),
      0.99,
    ),
  ) as [number, number]
  const calls = [quiet, rotating, ...others].flatMap((phase) => phase.calls)
  const refreshes = [quiet, rotating, ...others].flatMap((phase) => phase.refreshes)
  const all = [...calls, ...refreshes]
  const failed = all.filter(isFailed).length
  const logged = brokers.filter((broker) => broker.log().includes('decryption_failed')).length
  const [lines, reused] = [pending.flat().length, server.reused.length]
  return {
    what: `${kind}: ${2 * (logins.length + lines)} values and ${lines} pending journal lines, ${brokers.length} replica(s) restarted twice; ${calls.length} calls and ${refreshes.length} refreshes`,
    figure: `${failed} failed, ${shut} rows that the new key alone does not open, ${lost} journal lines lost, p99 ${during.toFixed(1)} ms while it rotated against ${before.toFixed(1)} ms`,
    worst: `failures ${failuresOf(all)}; ${logged} brokers logged a decrypt error, ${reused} tokens sent twice; rotated in ${(rotatedMs / 1000).toFixed(1)} s`,
    required: `0 failed, 0 decrypt errors, 0 lost, p99 ≤ ${TIMES} ×`,
    reached:
      failed + shut + lost + logged + reused === 0 &&
      during <= Math.max(TIMES * before, before + lab.size(NOISE_MS, STANDSTILL_MS)),
  }
}
