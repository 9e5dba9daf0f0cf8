/**
 * F21: three brokers, each with a node of its own of a Galera cluster, and the other nodes to turn to.
 *
 * First what they must agree on while all is well, at the same moment on all nodes: one refresh for all callers, keys
 * that are made and deleted. Then nodes go and come back, one after the other (`f21-node-away.ts`).
 */
import { must } from '../../support/broker.ts'
import { type GaleraNode, missingForGalera, startGalera } from '../../support/galera.ts'
import { insertLogins, planLogin } from '../../support/logins.ts'
import { providerOf, startTokenServer } from '../../support/token-server.ts'
import { waitUntil } from '../../support/wait-until.ts'
import { type Broker, ENCRYPTION_KEY, startBroker } from '../broker.ts'
import type { Gate, Lab, Row } from '../lab.ts'
import { callOnce, failuresOf, isFailed, slowest } from '../load.ts'
import { connect, openSandbox, openTables } from '../stage.ts'
import { type Ending, play, type Round } from './f1-one-refresh.ts'
import { type GaleraScene, loseNodes, noticeSoon } from './f21-node-away.ts'

const ENDINGS: readonly Ending[] = ['ended', 'refused', 'due']
const SCHEMA = 'chaos_galera'
const GONE_WITHIN_MS = 5_000
/** Of the authorization server, for those whom nobody calls. */
const ANSWER_MS = 200
const LIVES_MS = 120_000
export const galeraCluster: Gate = {
  id: 'F21',
  title: 'three brokers on three nodes of a Galera cluster',
  missing: missingForGalera,
  async run(lab) {
    const scene = await open(lab)
    const rows = [await expire(scene, lab.size(50, 6), lab.size(100, 20))]
    rows.push(await deleteKeys(scene, lab.size(20, 5)))
    rows.push(await sweep(scene, lab.size(1_000, 100)))
    rows.push(...(await loseNodes(scene)))
    const after = await expire(scene, lab.size(10, 3), lab.size(100, 20))
    rows.push({ ...after, what: `${after.what}, with all nodes back` })
    return rows
  },
}

async function open(lab: Lab): Promise<GaleraScene> {
  const galera = await startGalera()
  if (!galera) throw new Error(missingForGalera)
  lab.teardown(() => galera.stop())
  const { nodes } = galera
  await Promise.all(nodes.map(noticeSoon))
  await nodes[0]?.query(`create database ${SCHEMA}`)
  const schema = await openTables(lab, urlOf(nodes, 0))
  const sandbox = await openSandbox(lab)
  const tokenServer = await startTokenServer(lab)
  tokenServer.answerMs = ANSWER_MS
  const brokers = await Promise.all(
    nodes.map((node, own) =>
      startBroker(lab, {
        databaseUrl: node.url,
        sandbox: sandbox.origin,
        providers: { own: providerOf(tokenServer) },
        env: { DATABASE_URL: urlOf(nodes, own) },
      }),
    ),
  )
  const config = await connect(brokers[0] as Broker, sandbox)
  return { lab, galera, brokers, sandbox, tokenServer, schema, config }
}

/** Its own node first. */
function urlOf(nodes: readonly GaleraNode[], own: number): string {
  const hosts = nodes.map(({ url }) => new URL(url).host)
  return `mysql://root@${[...hosts.slice(own), ...hosts.slice(0, own)].join(',')}/${SCHEMA}`
}

async function expire(scene: GaleraScene, rounds: number, callers: number): Promise<Row> {
  const { lab, brokers, sandbox } = scene
  const revoked = sandbox.counts.familiesRevoked
  const played: Round[] = []
  for (let i = 0; i < rounds; i += 1) {
    const round = await play(scene, ENDINGS[i % ENDINGS.length] as Ending, callers)
    played.push(round)
    lab.say(`round ${i + 1} (${round.ending}): ${round.grants} grants, failures ${failuresOf(round.calls)}`)
  }
  const calls = played.flatMap((round) => round.calls)
  const failed = calls.filter(isFailed).length
  const right = played.filter(({ grants }) => grants === 1).length
  const lost = sandbox.counts.familiesRevoked - revoked
  return {
    what: `${brokers.length} brokers × ${callers} callers × ${rounds} rounds: token due, ended, refused`,
    figure: `${right} of ${rounds} rounds with exactly 1 grant, ${failed} failed calls, ${lost} families revoked`,
    worst: `failures ${failuresOf(calls)}, slowest call ${Math.round(slowest(calls))} ms`,
    required: '1 grant a round, 0 failed, 0 revoked',
    reached: right === rounds && failed === 0 && lost === 0,
  }
}

/** All at the same moment: each raises the one change counter, on a node that has not heard of the others yet. */
async function deleteKeys({ lab, brokers, config }: GaleraScene, perBroker: number): Promise<Row> {
  const fields = { name: 'key', model_config_ids: [config.id] }
  const made = await Promise.all(
    brokers.flatMap((broker) =>
      Array.from({ length: perBroker }, () => must(broker.admin('POST', '/api/keys', fields))),
    ),
  )
  for (const { key } of made) for (const broker of brokers) await untilAnswered(broker, key, 200)
  const ends = await Promise.all(
    made.map(async ({ id, key }, i) => {
      const broker = brokers[i % brokers.length] as Broker
      const deletion = await callOnce(() => broker.admin('DELETE', `/api/keys/${id}`))
      const deletedAt = performance.now()
      if (deletion.status === 204) await Promise.all(brokers.map((one) => untilAnswered(one, key, 401)))
      return { deletion, goneMs: performance.now() - deletedAt }
    }),
  )
  const deletions = ends.map(({ deletion }) => deletion)
  const goneMs = Math.max(...ends.map((end) => end.goneMs))
  const refused = deletions.filter(({ status }) => status !== 204)
  lab.say(
    `${made.length} keys deleted in ${Math.round(slowest(deletions))} ms, and gone ${Math.round(goneMs)} ms later`,
  )
  return {
    what: `${made.length} keys made at once, then deleted at once, on all nodes`,
    figure: `refused everywhere ${Math.round(goneMs)} ms after a deletion was answered; ${refused.length} deletions failed`,
    worst: `the last deletion took ${Math.round(slowest(deletions))} ms; ${failuresOf(refused)}`,
    required: `≤ ${GONE_WITHIN_MS / 1000} s, 0 failed`,
    reached: refused.length === 0 && goneMs <= GONE_WITHIN_MS,
  }
}

/** Nobody calls with them: all sweepers find them at once, each on its own node. */
async function sweep({ lab, schema, tokenServer }: GaleraScene, many: number): Promise<Row> {
  const expiresAt = Date.now() + LIVES_MS
  const logins = Array.from({ length: many }, (_, i) =>
    planLogin({ name: `idle-${i}`, provider: 'own', expiresAt }),
  )
  await insertLogins(schema.database, logins, ENCRYPTION_KEY)
  const startedAt = performance.now()
  const ids = new Set(logins.map(({ id }) => id))
  const isRenewed = ({ id, oauth_version }: { id: string; oauth_version: number }) =>
    ids.has(id) && oauth_version === 2
  await waitUntil(async () => (await schema.rows.all()).filter(isRenewed).length === many)
  const seconds = (performance.now() - startedAt) / 1000
  const { asked, reused, mostUnderWay } = tokenServer
  lab.say(`${many} idle credentials renewed in ${seconds.toFixed(1)} s`)
  return {
    what: `${many} credentials that nobody uses fall due at once; the server takes ${ANSWER_MS} ms`,
    figure: `${asked.length} refreshes in ${seconds.toFixed(1)} s, ${reused.length} tokens sent twice`,
    worst: `at most ${mostUnderWay} at once`,
    required: 'each once, all before they end',
    reached: asked.length === many && reused.length === 0 && Date.now() < expiresAt,
  }
}

async function untilAnswered(broker: Broker, key: string, status: number): Promise<void> {
  await waitUntil(async () => (await broker.complete(key)).status === status)
}
