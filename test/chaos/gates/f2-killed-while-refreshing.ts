/**
 * F2: kill -9 at any moment of a refresh, then a start with the same DATA_DIR.
 *
 * An answer counts as read if it is in the journal, or if the process did something after it that only its reader
 * can do: it hung up on the server well before it was killed, or sent the successor's fingerprint to the database.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Secret } from '../../../src/base/secret.ts'
import { fingerprint } from '../../../src/credential/credential.ts'
import { Journal } from '../../../src/credential/journal.ts'
import type { Sandbox } from '../../../src/sandbox/sandbox.ts'
import { KeyRing } from '../../../src/vault/key-ring.ts'
import { type Broker, ENCRYPTION_KEY, startBroker } from '../broker.ts'
import type { Grant } from '../grants.ts'
import type { Gate, Lab } from '../lab.ts'
import { callOnce, isFailed } from '../load.ts'
import {
  connect,
  type LoggedInWithKey,
  openSandbox,
  openSchema,
  type Schema,
  sharedServer,
} from '../stage.ts'

/** Brokers that are killed at the same time, each on its own. */
const LANES = 3
/** Credentials that one broker refreshes when it is killed. */
const CREDENTIALS = 3
/** Makes every stage of a refresh long enough to be hit. */
const DATABASE_LATENCY_MS = 15
const SERVER_LATENCY_MS = 10
/** Between the end of an answer on the wire and the tick in which a busy process reads it. */
const READING_MS = 30

/** What became of one refresh. */
type Fate = 'not sent' | 'in flight' | 'read, not stored' | 'stored' | 'lost'

interface Scene {
  readonly lab: Lab
  readonly schema: Schema
  readonly sandbox: Sandbox
}

/** What a kill follows, a random moment later. */
const STAGES = ['asked', 'claiming', 'sending', 'answered', 'answered', 'writing', 'writing'] as const
type Stage = (typeof STAGES)[number]
const LATEST_MS = 60
const STAGE_TIMEOUT_MS = 5_000
const RENEWAL_MS = 5_000
/** A start is ready before all of its journal is stored. */
const STORING_MS = 10_000

interface Lane {
  readonly broker: Broker
  /** Refresh fingerprints that this broker sent to the database. */
  readonly told: Set<string>
  onStage: (stage: Stage) => void
}

interface Outcome {
  readonly config: LoggedInWithKey
  readonly fate: Fate
  readonly isServed: boolean
}

export const killedWhileRefreshing: Gate = {
  id: 'F2',
  title: 'kill -9 while refreshing',
  async run(lab) {
    const schema = await openSchema(lab, await sharedServer())
    const sandbox = await openSandbox(lab)
    const scene = { lab, schema, sandbox }
    const lanes = await Promise.all(Array.from({ length: LANES }, () => openLane(scene)))
    let left = lab.size(200, 9)
    const kills = left
    const outcomes: Outcome[] = []
    await Promise.all(
      lanes.map(async (lane) => {
        while (left-- > 0) {
          outcomes.push(...(await killOnce(scene, lane)))
          if (left % 20 === 0) lab.say(`${left} kills to go: ${describe(outcomes)}`)
        }
      }),
    )
    const broken = await useOnceMore(scene, lanes[0] as Lane, outcomes)
    const count = (fate: Fate) => outcomes.filter((outcome) => outcome.fate === fate).length
    const unserved = outcomes.filter(({ isServed }) => !isServed).length
    const { reusesDetected } = sandbox.counts
    return [
      {
        what: `${kills} × kill -9, ${outcomes.length} refreshes under way, restart with the same DATA_DIR`,
        figure: `${count('lost')} read answers lost, ${unserved} failed calls after the restart, ${reusesDetected} tokens used twice`,
        worst: `${count('in flight')} answers in flight lost, unread; ${describe(outcomes)}; ${broken} of the others could not be refreshed again`,
        required: '0 lost whose answer was read',
        reached: count('lost') + unserved + reusesDetected + broken === 0 && count('read, not stored') > 0,
      },
    ]
  },
}

async function openLane({ lab, schema, sandbox }: Scene): Promise<Lane> {
  const broker = await startBroker(lab, { databaseUrl: schema.url, sandbox: sandbox.origin })
  const lane: Lane = { broker, told: new Set(), onStage: () => {} }
  broker.database.tap = {
    toServer: (chunk) => {
      const text = chunk.toString('latin1')
      if (text.includes("set `oauth_state` = 'refreshing'")) lane.onStage('claiming')
      if (!text.includes('update `model_configs` set `oauth_access_token`')) return
      for (const [hex] of text.matchAll(/\b[0-9a-f]{64}\b/g)) lane.told.add(hex)
      lane.onStage('writing')
    },
  }
  broker.grants.onRequest = () => lane.onStage('sending')
  broker.grants.onAnswer = () => lane.onStage('answered')
  broker.database.latencyMs = DATABASE_LATENCY_MS
  broker.grants.proxy.latencyMs = SERVER_LATENCY_MS
  return lane
}

async function killOnce({ lab, schema, sandbox }: Scene, lane: Lane): Promise<Outcome[]> {
  const { broker } = lane
  const configs = await Promise.all(Array.from({ length: CREDENTIALS }, () => connect(broker, sandbox)))
  const reached = stageReached(lane, lab.random.pick(STAGES))
  const killAfterMs = lab.random.between(0, LATEST_MS)
  const asked = configs.map(({ id }) =>
    broker.admin('POST', `/api/models/configs/${id}/refresh`).catch(() => undefined),
  )
  await reached
  await sleep(killAfterMs)
  const killedAt = performance.now()
  await broker.kill()
  await Promise.all(asked)
  const kept = new Set(
    openJournal(broker)
      .pending()
      .map(({ configId }) => configId),
  )
  await sleep(4 * SERVER_LATENCY_MS) // until an answer to nobody is known here
  const wasStored = await Promise.all(configs.map(({ id, login }) => schema.rows.holdsNewest(id, login)))
  await broker.start()
  return Promise.all(
    configs.map(async (config, index) => {
      const grant = broker.grants.sent.find(({ sent }) => sent === config.login.refresh_token)
      const wasRead = kept.has(config.id) || (grant !== undefined && wasReadBefore(killedAt, grant, lane))
      const isServed = !isFailed(await callOnce(() => broker.complete(config.key)))
      const holdsNewest = await getsNewest(schema, config, wasRead ? STORING_MS : 0)
      if (!holdsNewest) return { config, isServed, fate: wasRead ? 'lost' : 'in flight' } as const
      if (grant?.issued === undefined) return { config, isServed, fate: 'not sent' } as const
      return { config, isServed, fate: wasStored[index] ? 'stored' : 'read, not stored' } as const
    }),
  )
}

/** Whether its row holds the newest token within so long. */
async function getsNewest(
  schema: Schema,
  { id, login }: LoggedInWithKey,
  withinMs: number,
): Promise<boolean> {
  const until = performance.now() + withinMs
  while (!(await schema.rows.holdsNewest(id, login))) {
    if (performance.now() >= until) return false
    await sleep(20)
  }
  return true
}

/** When the first of the credentials gets there. */
async function stageReached(lane: Lane, stage: Stage): Promise<void> {
  if (stage === 'asked') return
  const { promise, resolve } = Promise.withResolvers<void>()
  lane.onStage = (now) => {
    if (now === stage) resolve()
  }
  await Promise.race([promise, sleep(STAGE_TIMEOUT_MS)])
}

function wasReadBefore(killedAt: number, { issued, link }: Grant, { told }: Lane): boolean {
  if (issued !== undefined && told.has(fingerprint(issued))) return true
  return link.clientEndedAt !== undefined && link.clientEndedAt < killedAt - READING_MS
}

function openJournal({ dataDir }: Broker): Journal {
  return new Journal(dataDir, new KeyRing([new Secret(ENCRYPTION_KEY)]))
}

/** Whatever was not lost in flight still is a living login. @returns how many are not */
async function useOnceMore(
  { schema }: Scene,
  { broker }: Lane,
  outcomes: readonly Outcome[],
): Promise<number> {
  broker.database.latencyMs = 0
  broker.grants.proxy.latencyMs = 0
  const alive = outcomes.filter(({ fate }) => fate !== 'in flight' && fate !== 'lost')
  // Somebody killed before it sent anything still holds the lease for a while.
  const ids = alive.map(({ config }) => config.id)
  await schema.rows.write(ids, { lease_until: 0 })
  let broken = 0
  for (const { config } of alive) {
    const { oauth_version: before } = await schema.rows.read(config.id)
    await broker.admin('POST', `/api/models/configs/${config.id}/refresh`)
    const renewed = await schema.rows.until(config.id, (row) => row.oauth_version > before, RENEWAL_MS)
    if (renewed === undefined || !(await schema.rows.holdsNewest(config.id, config.login))) broken += 1
  }
  return broken
}

function describe(outcomes: readonly Outcome[]): string {
  const fates: Fate[] = ['not sent', 'in flight', 'read, not stored', 'stored', 'lost']
  return fates
    .map((fate) => `${outcomes.filter((outcome) => outcome.fate === fate).length} ${fate}`)
    .join(', ')
}
