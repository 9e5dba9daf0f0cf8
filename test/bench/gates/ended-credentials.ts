/**
 * S9: as many callers as credentials, all of which have ended, at the same moment, each on a connection of its own. The
 * server bears 32 at once; nobody waits in the dark, each is served in the end, and no credential is refreshed twice.
 */
import { createConnection } from 'mysql2/promise'
import { Secret } from '../../../src/base/secret.ts'
import { openDatabase } from '../../../src/storage/database.ts'
import { must } from '../../support/broker.ts'
import type { BrokerProcess } from '../../support/broker-process.ts'
import { insertLogins, LOGINS_KEY, planLogin } from '../../support/logins.ts'
import { startMysql } from '../../support/mysql-server.ts'
import { startBroker } from '../broker.ts'
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { CALL_PATH } from '../messages.ts'
import { cpuSeconds, runScript, startScript } from '../processes.ts'
import type { RushOptions, RushResult, Told } from '../scripts/rush-client.ts'
import type { TokenCounts } from '../scripts/token-server.ts'
import { originOf, startStaticUpstream } from '../upstreams.ts'

const CALLERS = 2_000
const SHORT_CALLERS = 500
const ANSWER_MS = 200
const AT_ONCE = 32
/** Invariant I7. */
const MAX_WAIT_MS = 12_000
/** Between a client's clock and ours. */
const SLACK_MS = 500
const GIVE_UP_MS = 120_000
/** Places, of all: reads of rows may overtake each other, and so may connections that are taken on in one round. */
const MAX_OVERTAKING = 0.1

interface Rush {
  readonly database: 'SQLite' | 'MySQL'
  readonly callers: number
  readonly result: RushResult
  readonly counts: TokenCounts
  /** The furthest that anybody was refreshed behind the place in which it came, of those who were served at once. */
  readonly overtaking: number
  /** Of the broker, in seconds. */
  readonly cpu: number
}

export const endedCredentials: Gate = {
  id: 'S9',
  title: 'callers of credentials that have all ended, at the same moment',
  async run(lab: Lab): Promise<Findings> {
    const mysql = await startMysql()
    if (mysql) lab.teardown(() => mysql.stop())
    const upstream = await startStaticUpstream(lab)
    const places = [undefined, ...(mysql ? [mysql.url] : [])]
    const rushes: Rush[] = []
    for (const url of places) {
      const rush = await lab.disturbance.measure('S9', () => rushOn(lab, upstream, url))
      lab.say(`S9 ${describe(rush)}`)
      rushes.push(rush)
    }
    return { rows: rushes.flatMap(rowsOf), notes: rushes.map(describe) }
  },
}

async function rushOn(lab: Lab, upstream: string, mysql: string | undefined): Promise<Rush> {
  const callers = lab.isShort ? SHORT_CALLERS : CALLERS
  const server = await startScript('token-server', { answerMs: ANSWER_MS })
  const url = mysql && (await makeSchema(mysql))
  const broker = await startBroker(lab, {
    providers: { own: providerAt(originOf(server), upstream) },
    env: { TOKEN_ENCRYPTION_KEY: LOGINS_KEY, ...(url && { DATABASE_URL: url }) },
  })
  try {
    const names = Array.from({ length: callers }, (_, index) => `login-${index}`)
    await insertEnded(broker, url, names)
    const { key } = await must(broker.admin('POST', '/api/keys', { name: 'all' }))
    const before = cpuSeconds(broker.pid) ?? Number.NaN
    const result = await rush(broker, key, names)
    const cpu = (cpuSeconds(broker.pid) ?? Number.NaN) - before
    const counts = await server.ask<TokenCounts>({ order: true })
    const database = url ? 'MySQL' : 'SQLite'
    return { database, callers, result, counts, overtaking: overtakingIn(names, result, counts), cpu }
  } finally {
    await broker.terminate('SIGINT')
    await server.stop()
  }
}

async function makeSchema(url: string): Promise<string> {
  const schema = `rush_${Date.now()}`
  const connection = await createConnection(url)
  await connection.query(`create database ${schema}`)
  await connection.end()
  return url + schema
}

function providerAt(origin: string, upstream: string): object {
  return {
    credential: 'device_code',
    authorization_server: {
      token_endpoint: `${origin}/own/token`,
      device_authorization_endpoint: `${origin}/own/device`,
      client_id: 'c',
    },
    upstream: { base_url: `${upstream}/v1` },
  }
}

/** Nobody has been told of them, so the sweeper comes upon them when it looks next, as it would in life. */
async function insertEnded(
  { dataDir }: BrokerProcess,
  url: string | undefined,
  names: readonly string[],
): Promise<void> {
  const database = openDatabase({ dataDir, mysqlUrl: url ? new Secret(url) : undefined })
  const expiresAt = Date.now() - 1_000
  await insertLogins(
    database,
    names.map((name) => planLogin({ name, provider: 'own', expiresAt })),
  )
  await database.close()
}

function rush({ origin }: BrokerProcess, key: string, names: readonly string[]): Promise<RushResult> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const bodies = names.map((name) => JSON.stringify({ model: `${name}/m`, messages: [] }))
  const port = Number(new URL(origin).port)
  const given: RushOptions = { port, path: CALL_PATH, headers, bodies, giveUpMs: GIVE_UP_MS }
  return runScript<RushResult>('rush-client', given)
}

function overtakingIn(
  names: readonly string[],
  { clients }: RushResult,
  { order = [] }: TokenCounts,
): number {
  const atOnce = names.filter((_, index) => clients[index]?.[0]?.status === 200)
  const places = new Map(order.map((name, place) => [name, place]))
  return Math.max(0, ...atOnce.map((name, index) => (places.get(name) ?? 0) - index))
}

function rowsOf(rush: Rush): Row[] {
  const { database, callers, result, counts, overtaking } = rush
  const all = result.clients.flat()
  const slowest = Math.max(...all.map(({ ms }) => ms))
  const wrong = all.filter((told) => !isServedOrTold(told))
  const served = result.clients.filter((client) => client.at(-1)?.status === 200).length
  const most = counts.replicas['own']?.mostUnderWay ?? 0
  return [
    {
      what: `${callers} callers, ${database}: the longest wait for an answer`,
      figure: `${(slowest / 1_000).toFixed(1)} s`,
      required: `<= ${MAX_WAIT_MS / 1_000} s`,
      reached: slowest <= MAX_WAIT_MS + SLACK_MS,
    },
    {
      what: `${database}: answers but 200, and 503 refresh_unavailable with Retry-After; callers served in the end`,
      figure: `${wrong.length}${wrong[0] ? ` (${JSON.stringify(wrong[0])})` : ''}; ${served}`,
      required: `0; ${callers}`,
      reached: wrong.length === 0 && served === callers,
    },
    {
      what: `${database}: refreshes; tokens sent twice; at once`,
      figure: `${counts.granted}; ${counts.reused}; ${most}`,
      required: `${callers}; 0; <= ${AT_ONCE}`,
      reached: counts.granted === callers && counts.reused === 0 && most <= AT_ONCE,
    },
    {
      what: `${database}: the furthest that anybody was overtaken`,
      figure: `${overtaking} places`,
      required: `<= ${MAX_OVERTAKING * callers}`,
      reached: overtaking <= MAX_OVERTAKING * callers,
    },
  ]
}

function isServedOrTold({ status, code, retryAfterSeconds }: Told): boolean {
  return status === 200 || (status === 503 && code === 'refresh_unavailable' && retryAfterSeconds >= 1)
}

function describe({ database, callers, result, cpu }: Rush): string {
  const first = result.clients.flatMap(([told]) => (told ? [told] : []))
  const atOnce = first.filter(({ status }) => status === 200).length
  const tries = Math.max(...result.clients.map(({ length }) => length))
  const slowest = Math.max(...first.map(({ ms }) => ms))
  return `${callers} callers, ${database}: ${atOnce} served the first time, the slowest answer after ${(slowest / 1_000).toFixed(1)} s; nobody came more than ${tries} times; ${((1_000 * cpu) / callers).toFixed(1)} ms of processor time a caller; the clients themselves stood still for ${result.heldUpMs.toFixed(0)} ms at most`
}
