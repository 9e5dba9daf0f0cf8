/**
 * S3: thousands of credentials that nobody uses fall due at once. How many a second does one replica refresh, and do
 * three share the work?
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import { Secret } from '../../../src/base/secret.ts'
import { openDatabase } from '../../../src/storage/database.ts'
import { insertLogins, LOGINS_KEY, planLogin } from '../../support/logins.ts'
import { type MysqlServer, startMysql } from '../../support/mysql-server.ts'
import { waitUntil } from '../../support/wait-until.ts'
import { startBroker } from '../broker.ts'
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { cpuSeconds, type ScriptServer, startScript } from '../processes.ts'
import type { TokenCounts } from '../scripts/token-server.ts'
import { originOf } from '../upstreams.ts'

const ANSWER_MS = 200
/** Of one replica, to one server (src/provider/provider.ts). */
const AT_ONCE = 32
const LEAST_PER_SECOND = (0.8 * AT_ONCE * 1_000) / ANSWER_MS
const LEAST_GAIN = 2.5
const MOST_QUERIES = 8
const MEASURED_SECONDS = 10
/** More than three replicas can do while they are measured, and before. */
const LOGINS_A_REPLICA = 3_000
/** Due, and far from their end. */
const ENDS_IN_MS = 240_000
/** Each has refreshed so many when the measurement begins, and has compiled what that needs. */
const WARM = 300

interface Sweep {
  readonly replicas: number
  readonly perSecond: number
  readonly queries: number
  readonly mostUnderWay: number
  readonly reused: number
  /** Of a core, all replicas together. */
  readonly cores: number
}

export const backgroundRefresh: Gate = {
  id: 'S3',
  title: 'credentials that nobody uses, all due, at a server that takes 200 ms',
  async run(lab: Lab): Promise<Findings> {
    const mysql = await startMysql()
    if (!mysql) return { rows: [skipped()], notes: [] }
    lab.teardown(() => mysql.stop())
    const sweeps: Sweep[] = []
    for (const replicas of [1, 3]) {
      sweeps.push(await lab.disturbance.measure(`S3 ${replicas}`, () => sweepWith(lab, mysql, replicas)))
    }
    return { rows: rowsOf(sweeps), notes: sweeps.map(describe) }
  },
}

async function sweepWith(lab: Lab, mysql: MysqlServer, replicas: number): Promise<Sweep> {
  const server = await startScript('token-server', { answerMs: ANSWER_MS })
  const connection = await createConnection(mysql.url)
  const schema = `sweep_${replicas}_${Date.now()}`
  await connection.query(`create database ${schema}`)
  const url = mysql.url + schema
  const brokers = await Promise.all(
    Array.from({ length: replicas }, (_, index) =>
      startBroker(lab, {
        providers: { own: providerAt(`${originOf(server)}/${index}`) },
        env: { DATABASE_URL: url, TOKEN_ENCRYPTION_KEY: LOGINS_KEY },
      }),
    ),
  )
  try {
    await insertDue(url, replicas * LOGINS_A_REPLICA)
    await waitUntil(async () => {
      const asked = Object.values((await countsOf(server)).replicas)
      return asked.length === replicas && asked.every(({ granted }) => granted >= WARM)
    })
    const sample = async () => ({
      at: performance.now(),
      counts: await countsOf(server),
      questions: await questionsOf(connection),
      cpu: brokers.reduce((sum, { pid }) => sum + (cpuSeconds(pid) ?? Number.NaN), 0),
    })
    const before = await sample()
    await sleep(MEASURED_SECONDS * 1_000)
    const after = await sample()
    const seconds = (after.at - before.at) / 1_000
    const refreshes = after.counts.granted - before.counts.granted
    const sweep = {
      replicas,
      perSecond: refreshes / seconds,
      queries: (after.questions - before.questions) / refreshes,
      mostUnderWay: Math.max(...Object.values(after.counts.replicas).map((one) => one.mostUnderWay)),
      reused: after.counts.reused,
      cores: (after.cpu - before.cpu) / seconds,
    }
    lab.say(`S3 ${describe(sweep)}`)
    return sweep
  } finally {
    await Promise.all(brokers.map((broker) => broker.terminate('SIGINT')))
    await server.stop()
    await connection.end()
  }
}

function providerAt(origin: string): object {
  return {
    credential: 'device_code',
    authorization_server: {
      token_endpoint: `${origin}/token`,
      device_authorization_endpoint: `${origin}/device`,
      client_id: 'c',
    },
    upstream: { base_url: `${origin}/v1` },
  }
}

async function insertDue(url: string, count: number): Promise<void> {
  const database = openDatabase({ dataDir: '', mysqlUrl: new Secret(url) })
  const expiresAt = Date.now() + ENDS_IN_MS
  const logins = Array.from({ length: count }, (_, index) =>
    planLogin({ name: `due-${index}`, provider: 'own', expiresAt: expiresAt + index }),
  )
  await insertLogins(database, logins)
  await database.close()
}

const countsOf = (server: ScriptServer) => server.ask<TokenCounts>({})

async function questionsOf(connection: Awaited<ReturnType<typeof createConnection>>): Promise<number> {
  const [rows] = await connection.query("show global status like 'Questions'")
  return Number((rows as { Value: string }[])[0]?.Value)
}

function rowsOf([one, three]: readonly Sweep[]): Row[] {
  if (!one || !three) throw new Error('one replica, and three')
  const queries = Math.max(one.queries, three.queries)
  const most = Math.max(one.mostUnderWay, three.mostUnderWay)
  const reused = one.reused + three.reused
  return [
    {
      what: 'refreshes/s of one replica',
      figure: one.perSecond.toFixed(0),
      required: `≥ ${LEAST_PER_SECOND}, 0.8 × what ${AT_ONCE} at once allow`,
      reached: one.perSecond >= LEAST_PER_SECOND,
    },
    {
      what: 'three replicas against one',
      figure: `${(three.perSecond / one.perSecond).toFixed(2)} × (${three.perSecond.toFixed(0)}/s)`,
      required: `≥ ${LEAST_GAIN} ×`,
      reached: three.perSecond >= LEAST_GAIN * one.perSecond,
    },
    {
      what: 'queries a refresh, everything that the replicas ask meanwhile',
      figure: queries.toFixed(2),
      required: `≤ ${MOST_QUERIES}`,
      reached: queries <= MOST_QUERIES,
    },
    {
      what: 'at once from one replica; tokens sent twice',
      figure: `${most}; ${reused}`,
      required: `≤ ${AT_ONCE}; 0`,
      reached: most <= AT_ONCE && reused === 0,
    },
  ]
}

function describe({ replicas, perSecond, queries, mostUnderWay, cores }: Sweep): string {
  const cost = ((1_000 * cores) / perSecond).toFixed(1)
  return `${replicas} of them: ${perSecond.toFixed(0)}/s, ${queries.toFixed(2)} queries and ${cost} ms of processor time a refresh, at most ${mostUnderWay} at once from one`
}

function skipped(): Row {
  const what = 'background refresh with one replica and three'
  return { what, figure: 'no mariadbd or mysqld here', required: 'a server', reached: 'skipped' }
}
