/**
 * F5: the database is killed between the server's answer and the commit of its row; sometimes the broker as well.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Sandbox } from '../../../src/sandbox/sandbox.ts'
import type { MysqlServer } from '../../support/mysql-server.ts'
import { type Broker, startBroker } from '../broker.ts'
import type { Gate, Lab } from '../lab.ts'
import { callOnce, isFailed, quantile } from '../load.ts'
import { connect, type LoggedInWithKey, openSandbox, openSchema, ownServer, type Schema } from '../stage.ts'
import type { Link, Tap } from '../tcp-proxy.ts'
import { errorsWhileStoring } from './f5-errors-while-storing.ts'

/** Databases that die at the same time, each with a broker of its own. */
const LANES = 2
/** Of all deaths: those in which the broker is killed while the database is away. */
const BROKER_DIES = 0.2
/** Beyond this a token counts as lost. */
const STORED_WITHIN_MS = 60_000

/** Worth a line on the way. */
const SLOW_MS = 5_000

/** The last thing the database did. */
const DEATHS = ['nothing', 'begin', 'update', 'insert', 'commit, unacknowledged'] as const
type Death = (typeof DEATHS)[number]

/** What the statement looks like whose answer is the database's last. */
const LAST_STATEMENT: Readonly<Record<Exclude<Death, 'nothing'>, RegExp>> = {
  begin: /^.{5}begin$/s,
  update: /^.{5}update `model_configs` set `oauth_access_token`/s,
  insert: /^.{5}insert into `audit_events`/s,
  'commit, unacknowledged': /^.{5}commit$/s,
}

interface Lane {
  readonly schema: Schema
  readonly server: MysqlServer
  readonly broker: Broker
  readonly config: LoggedInWithKey
}

interface Trial {
  readonly death: Death
  readonly brokerDied: boolean
  readonly isServed: boolean
  /** From the database's return until the row held the newest token; undefined: lost. */
  readonly storedMs: number | undefined
}

export const databaseDiesBeforeCommit: Gate = {
  id: 'F5',
  title: 'the database dies between answer and commit',
  async run(lab) {
    const sandbox = await openSandbox(lab)
    const lanes: Lane[] = []
    for (let i = 0; i < LANES; i += 1) lanes.push(await openLane(lab, sandbox))
    const deaths = lab.size(100, 10)
    const trials: Trial[] = []
    let next = 0
    await Promise.all(
      lanes.map(async (lane) => {
        while (next < deaths) {
          const death = DEATHS[next % DEATHS.length] as Death
          next += 1
          const trial = await dieOnce(lane, death, lab.random.between(0, 1) < BROKER_DIES)
          trials.push(trial)
          const { storedMs = Number.POSITIVE_INFINITY } = trial
          if (storedMs > SLOW_MS) lab.say(`stored after ${Math.round(storedMs)} ms: ${describe(trial)}`)
          if (trials.length % 10 === 0)
            lab.say(`${trials.length} deaths, ${trials.filter(isLost).length} lost`)
        }
      }),
    )
    const lost = trials.filter(isLost)
    const unserved = trials.filter(({ isServed }) => !isServed).length
    const storedMs = trials.map((trial) => trial.storedMs ?? Number.POSITIVE_INFINITY)
    const { reusesDetected } = sandbox.counts
    const errors = await errorsWhileStoring(lab, await openSandbox(lab))
    return [
      errors,
      {
        what: `database killed after the answer, ${trials.length} times (${trials.filter(({ brokerDied }) => brokerDied).length} of them with the broker); its last statement: none, begin, update, insert, or an unacknowledged commit`,
        figure: `${lost.length} tokens lost, ${unserved} failed calls while it was away, ${reusesDetected} tokens used twice`,
        worst: `in the row ${Math.round(Math.max(...storedMs))} ms after the database was back (median ${Math.round(quantile(storedMs, 0.5))} ms); lost: ${lost.map(describe).join(', ') || 'none'}`,
        required: '0 lost, the row holds the newest',
        reached: lost.length + unserved + reusesDetected === 0,
      },
    ]
  },
}

async function openLane(lab: Lab, sandbox: Sandbox): Promise<Lane> {
  const server = await ownServer(lab)
  const schema = await openSchema(lab, server)
  const broker = await startBroker(lab, { databaseUrl: schema.url, sandbox: sandbox.origin })
  return { schema, server, broker, config: await connect(broker, sandbox) }
}

async function dieOnce(
  { schema, server, broker, config }: Lane,
  death: Death,
  brokerDies: boolean,
): Promise<Trial> {
  await broker.complete(config.key) // so that the broker knows its key by heart
  const { promise: dead, resolve } = Promise.withResolvers<void>()
  const kill = async () => {
    await server.kill()
    resolve()
  }
  broker.grants.onAnswer = async () => {
    broker.grants.onAnswer = undefined
    if (death === 'nothing') await kill()
    else broker.database.tap = diesAfter(LAST_STATEMENT[death], death !== 'commit, unacknowledged', kill)
  }
  const asked = refreshOnce(broker, config)
  await dead
  broker.database.tap = {}
  const isServed = !isFailed(await callOnce(() => broker.complete(config.key)))
  if (brokerDies) await broker.kill()
  await asked
  await server.restart()
  const backAt = performance.now()
  if (brokerDies) await broker.start()
  const { login, id } = config
  const isStored = await schema.rows.untilNewest(id, login, STORED_WITHIN_MS)
  return {
    death,
    brokerDied: brokerDies,
    isServed,
    storedMs: isStored ? performance.now() - backAt : undefined,
  }
}

/** Connections of the last death may still stand in its way: then again. */
async function refreshOnce(broker: Broker, { id }: LoggedInWithKey): Promise<void> {
  const sent = broker.grants.sent.length
  while (broker.grants.sent.length === sent) {
    await broker.admin('POST', `/api/models/configs/${id}/refresh`).catch(() => undefined)
    await sleep(100)
  }
}

/** Kills the database when it has answered a statement; the answer itself still arrives, or is lost with it. */
function diesAfter(statement: RegExp, isAnswered: boolean, kill: () => Promise<void>): Tap {
  let last: Link | undefined
  return {
    toServer(chunk, link) {
      if (statement.test(chunk.toString('latin1'))) last = link
    },
    async toClient(_chunk, link) {
      if (link !== last) return undefined
      last = undefined
      await kill()
      return isAnswered
    },
  }
}

function describe({ death, brokerDied }: Trial): string {
  return `${death}${brokerDied ? ' + broker' : ''}`
}

function isLost({ storedMs }: Trial): boolean {
  return storedMs === undefined
}
