/**
 * F21, the second half: a node is killed, cut off from the others, stopped, and each time comes back.
 *
 * All brokers are under load all the while, with a credential that stays good and one that is to be renewed just then.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Galera, GaleraNode } from '../../support/galera.ts'
import type { TokenServer } from '../../support/token-server.ts'
import { waitUntil } from '../../support/wait-until.ts'
import type { Broker } from '../broker.ts'
import type { Lab, Row } from '../lab.ts'
import { type Call, callOnce, failuresOf, isFailed, Load } from '../load.ts'
import { connect, type LoggedInWithKey } from '../stage.ts'
import type { Scene } from './f1-one-refresh.ts'

const CALLS_PER_SECOND = 10
const PROBES = 20
const PROBE_EVERY_MS = 500
const LOOK_EVERY_MS = 100
const LIVES_MS = 120_000

/** A node that is gone holds up all writes for so long; the default of 5 s is for networks between towns. */
const NOTICE = 'evs.suspect_timeout=PT2S;evs.inactive_timeout=PT6S'
const NOT_IN_ITS_CLUSTER = 1047

export interface GaleraScene extends Scene {
  readonly lab: Lab
  readonly galera: Galera
  readonly tokenServer: TokenServer
}

/** To be called after each of its starts. */
export async function noticeSoon(node: GaleraNode): Promise<void> {
  await node.query(`set global wsrep_provider_options = '${NOTICE}'`)
}

interface Loss {
  readonly name: string
  readonly writesWithinMs: number
  /** Resolves when the node does not take statements any more, or shall not. */
  begin(node: GaleraNode): Promise<void>
  end(node: GaleraNode): Promise<void>
}

const LOSSES: readonly Loss[] = [
  {
    name: 'killed',
    writesWithinMs: 5_000,
    begin: (node) => node.kill(),
    end: async (node) => {
      await node.start()
      await noticeSoon(node)
    },
  },
  {
    // It does not know at first; who writes on it meanwhile waits.
    name: 'cut off from the others (1047)',
    writesWithinMs: 5_000,
    begin: async (node) => {
      await node.cutOff()
      while ((await errorOf(node)) !== NOT_IN_ITS_CLUSTER) await sleep(LOOK_EVERY_MS)
    },
    end: (node) => node.bringBack(),
  },
  {
    // A statement may take 5 s, and another be under way when the first is given up.
    name: 'stopped, without a word',
    writesWithinMs: 10_000,
    begin: async (node) => node.signal('SIGSTOP'),
    end: async (node) => node.signal('SIGCONT'),
  },
]

export async function loseNodes(scene: GaleraScene): Promise<Row[]> {
  const rows: Row[] = []
  for (const [index, loss] of LOSSES.entries()) {
    rows.push(await lose(scene, loss, index))
    scene.lab.say(rows.at(-1)?.figure ?? '')
  }
  return rows
}

async function lose(scene: GaleraScene, loss: Loss, index: number): Promise<Row> {
  const { galera, brokers, sandbox, schema, config } = scene
  const node = galera.nodes[index] as GaleraNode
  const due = await connect(brokers[index] as Broker, sandbox)
  await Promise.all(brokers.map((broker) => broker.hears()))
  const { familiesRevoked, reusesDetected } = sandbox.counts
  const loads = brokers.map((broker) =>
    [config, due].map(({ key }) => new Load(CALLS_PER_SECOND, () => broker.complete(key))),
  )
  await sleep(1_000)
  await fallDue(scene, due)
  const lastsFrom = performance.now()
  const begun = loss.begin(node).then(() => performance.now())
  const probes = await Promise.all(brokers.map(probe))
  const startedAt = await begun
  const calls = await Promise.all(
    loads.map(async (pair) => (await Promise.all(pair.map((load) => load.stop()))).flat()),
  )
  const newest = await schema.rows.untilNewest(due.id, due.login, loss.writesWithinMs)
  await loss.end(node)
  await galera.inStep()
  const back = performance.now()
  await waitUntil(async () => (await clientsOf(node)) > 0)
  const writesMs = probes.map((of) => writesAgain(of) - startedAt)
  const [own, ...others] = inOrder(writesMs, index)
  const failed = inOrder(
    calls.map((of) => of.filter(isFailed).length),
    index,
  )
  const fives = [...calls, ...probes].flat().filter(({ status }) => status === 500).length
  const revoked = sandbox.counts.familiesRevoked - familiesRevoked
  const reused = sandbox.counts.reusesDetected - reusesDetected
  return {
    what: `a node ${loss.name}, known after ${seconds(startedAt - lastsFrom)}, under load, with a credential to renew just then; and back`,
    figure: `its broker writes again after ${seconds(own)}, the others after ${others.map(seconds).join(' and ')}; ${failed[0]} of its and ${sum(failed.slice(1))} of the others' cached calls failed; ${fives} answers of 500, ${revoked} families revoked, ${reused} tokens sent twice`,
    worst: `writes: ${failuresOf(probes.flat().filter((call) => !isCreated(call)))}; calls: ${failuresOf(calls.flat())}; ${newest ? '' : 'THE NEWEST TOKEN IS NOT STORED; '}its broker is back on it ${seconds(performance.now() - back)} after it is in step`,
    required: `writing within ${loss.writesWithinMs / 1000} s, 0 failed calls, 0 of 500, 0 revoked, 0 twice`,
    reached:
      newest && Math.max(...writesMs) <= loss.writesWithinMs && sum(failed) + fives + revoked + reused === 0,
  }
}

/** Brokers hear of it within a second, and renew it at once; it lives for two minutes still. */
async function fallDue({ schema }: GaleraScene, { id }: LoggedInWithKey): Promise<void> {
  await schema.rows.write([id], { oauth_expires_at: Date.now() + LIVES_MS, oauth_refreshed_at: null })
}

/** Writes of which none waits for another. */
async function probe(broker: Broker): Promise<Call[]> {
  const writes: Promise<Call>[] = []
  for (let i = 0; i < PROBES; i += 1) {
    writes.push(callOnce(() => broker.admin('POST', '/api/keys', { name: `probe ${i}` })))
    await sleep(PROBE_EVERY_MS)
  }
  return Promise.all(writes)
}

/** When the last write that failed was answered, or the first that did not. */
function writesAgain(probes: readonly Call[]): number {
  const endOf = ({ startedAt, ms }: Call) => startedAt + ms
  const first = Math.min(...probes.filter(isCreated).map(endOf))
  return Math.max(first, ...probes.filter((call) => !isCreated(call)).map(endOf))
}

function isCreated({ status }: Call): boolean {
  return status === 201
}

async function errorOf(node: GaleraNode): Promise<number | undefined> {
  return node.query('select 1 from mysql.user limit 1').then(
    () => undefined,
    ({ errno }) => errno,
  )
}

/** Of brokers, besides the one that asks. */
async function clientsOf(node: GaleraNode): Promise<number> {
  const [row] = await node.query(
    "select count(*) as clients from information_schema.processlist where db like 'chaos%'",
  )
  return Number(row?.['clients'])
}

/** The one at `index` first. */
function inOrder(numbers: readonly number[], index: number): number[] {
  return [numbers[index] ?? 0, ...numbers.filter((_, i) => i !== index)]
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0)
}

function seconds(ms = 0): string {
  return `${(Math.max(ms, 0) / 1000).toFixed(1)} s`
}
