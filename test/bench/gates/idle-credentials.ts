/**
 * S5: a hundred thousand credentials, of which none is due: what a replica asks its database for, what it costs while
 * nobody calls, and how soon it is ready.
 */
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import { Secret } from '../../../src/base/secret.ts'
import type { Line } from '../../../src/credential/journal-reader.ts'
import { openDatabase } from '../../../src/storage/database.ts'
import { KeyRing } from '../../../src/vault/key-ring.ts'
import { must } from '../../support/broker.ts'
import { insertLogins, LOGINS_KEY, type PlannedLogin, planLogin } from '../../support/logins.ts'
import { type MysqlServer, startMysql } from '../../support/mysql-server.ts'
import { residentBytes } from '../../support/resident-bytes.ts'
import { startBroker } from '../broker.ts'
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { cpuSeconds } from '../processes.ts'
import { median } from '../statistics.ts'

const CREDENTIALS = 100_000
const SHORT = 1_000
const AT_ONCE = 10_000
const STARTS = 3
const MAX_MB = 40
/** Until a process that has just started is as it stays: half a minute later its memory is cleared up once more. */
const SETTLE_MS = 40_000
const MEASURED_MS = 30_000
const NEVER_ASKED = 'http://127.0.0.1:9'

interface Idle {
  readonly readyMs: number
  readonly bytes: number
  readonly queriesPerSecond: number
  /** Of a core. */
  readonly cpu: number
}

export const idleCredentials: Gate = {
  id: 'S5',
  title: `${CREDENTIALS.toLocaleString('en')} credentials, of which none is due`,
  async run(lab: Lab): Promise<Findings> {
    const mysql = await startMysql()
    if (!mysql) return { rows: [skipped()], notes: [] }
    lab.teardown(() => mysql.stop())
    const count = lab.isShort ? SHORT : CREDENTIALS
    const empty = await idleOn(lab, mysql, { schema: 'none', count: 0 })
    const fresh = await idleOn(lab, mysql, { schema: 'fresh', count })
    const used = await idleOn(lab, mysql, { schema: 'used', count, isUsed: true })
    const known = await idleOn(lab, mysql, { schema: 'known', count, isUsed: true, hasKeyOverAll: true })
    return {
      rows: rowsOf({ empty, fresh, used }),
      notes: [
        describe('no credentials', empty),
        describe('all', fresh),
        describe('all, with their last answers in the journal', used),
        describe('the same, and a key over all of them', known),
      ],
    }
  },
}

interface Subject {
  readonly schema: string
  readonly count: number
  /** For long: the last answer of each is in the journal. */
  readonly isUsed?: boolean
  readonly hasKeyOverAll?: boolean
}

async function idleOn(
  lab: Lab,
  mysql: MysqlServer,
  { schema, count, isUsed = false, hasKeyOverAll = false }: Subject,
): Promise<Idle> {
  const connection = await createConnection(mysql.url)
  await connection.query(`create database ${schema}`)
  const options = {
    providers: { own: PROVIDER },
    env: {
      DATABASE_URL: mysql.url + schema,
      TOKEN_ENCRYPTION_KEY: LOGINS_KEY,
      DATA_DIR: join(lab.dir, schema),
    },
  }
  const first = await startBroker(lab, options)
  if (hasKeyOverAll) await must(first.admin('POST', '/api/keys', { name: 'all' }))
  await sleep(2_000) // until the sandbox has enrolled itself
  await first.terminate('SIGINT')
  lab.say(`S5 filling a database with ${count} credentials`)
  await insertMany(mysql.url + schema, count, isUsed ? first.dataDir : undefined)
  const ready: number[] = []
  for (let start = 1; start < STARTS; start += 1) {
    const running = await startBroker(lab, options)
    ready.push(running.readyMs)
    await running.terminate('SIGINT')
  }
  const running = await startBroker(lab, options)
  ready.push(running.readyMs)
  await sleep(lab.isShort ? SETTLE_MS / 10 : SETTLE_MS)
  const before = [await questionsOf(connection), cpuSeconds(running.pid) ?? Number.NaN, performance.now()]
  await sleep(lab.isShort ? MEASURED_MS / 10 : MEASURED_MS)
  const after = [await questionsOf(connection), cpuSeconds(running.pid) ?? Number.NaN, performance.now()]
  const [questions, cpu, ms] = after.map((value, n) => value - (before[n] ?? 0)) as [number, number, number]
  const bytes = residentBytes(running.pid)
  await running.terminate('SIGINT')
  await connection.end()
  const idle = {
    readyMs: median(ready),
    bytes,
    queriesPerSecond: (1_000 * questions) / ms,
    cpu: (1_000 * cpu) / ms,
  }
  lab.say(`S5 ${describe(schema, idle)}`)
  return idle
}

const PROVIDER = {
  credential: 'device_code',
  authorization_server: {
    token_endpoint: `${NEVER_ASKED}/token`,
    device_authorization_endpoint: `${NEVER_ASKED}/device`,
    client_id: 'c',
  },
  upstream: { base_url: `${NEVER_ASKED}/v1` },
}

/** @param dataDir where the journal gets the last answer of each */
async function insertMany(url: string, count: number, dataDir: string | undefined): Promise<void> {
  const ring = new KeyRing([new Secret(LOGINS_KEY)])
  const journal =
    dataDir === undefined
      ? undefined
      : createWriteStream(join(dataDir, 'journal', `${randomUUID()}.left.journal`), { mode: 0o600 })
  const database = openDatabase({ dataDir: '', mysqlUrl: new Secret(url) })
  const expiresAt = Date.now() + 30 * 86_400_000
  for (let from = 0; from < count; from += AT_ONCE) {
    const logins = Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, index) =>
      planLogin({ name: `idle-${from + index}`, provider: 'own', expiresAt }),
    )
    await insertLogins(database, logins)
    for (const login of logins) journal?.write(`${ring.seal(JSON.stringify(lastAnswerOf(login)))}\n`)
  }
  await database.close()
  if (journal) await new Promise((resolve) => journal.end(resolve))
}

function lastAnswerOf({ id, name, expiresAt }: PlannedLogin): Line {
  const tokens = {
    accessToken: `access-of-${name}-0`,
    refreshToken: `${name}.0`,
    tokenType: 'Bearer',
    scope: undefined,
    expiresAt,
    receivedAt: 1,
    metadata: {},
  }
  return { kind: 'last', attemptId: randomUUID(), configId: id, loginAt: 0, fromVersion: 0, tokens, at: 1 }
}

async function questionsOf(connection: Awaited<ReturnType<typeof createConnection>>): Promise<number> {
  const [rows] = await connection.query("show global status like 'Questions'")
  return Number((rows as { Value: string }[])[0]?.Value)
}

/** What a replica costs that was long used; and, beside it, the memory of one whose accounts are new. */
function rowsOf({ empty, fresh, used }: Record<'empty' | 'fresh' | 'used', Idle>): Row[] {
  const memory = (what: string, { bytes }: Idle) => {
    const more = (bytes - empty.bytes) / 1e6
    return row(what, `${more.toFixed(0)} MB`, `<= ${MAX_MB} MB`, more <= MAX_MB)
  }
  return [
    row('queries/s', used.queriesPerSecond.toFixed(2), '<= 5', used.queriesPerSecond <= 5),
    row('of a core', `${(100 * used.cpu).toFixed(2)} %`, '<= 1 %', used.cpu <= 0.01),
    row('start to ready', `${used.readyMs.toFixed(0)} ms`, '<= 1000 ms', used.readyMs <= 1_000),
    memory('RSS above that with an empty database', fresh),
    memory('the same, with all last answers in the journal', used),
  ]
}

function row(what: string, figure: string, required: string, reached: boolean): Row {
  return { what, figure, required, reached }
}

function describe(what: string, { readyMs, bytes, queriesPerSecond, cpu }: Idle): string {
  return `${what}: ready after ${readyMs.toFixed(0)} ms, ${(bytes / 1e6).toFixed(0)} MB, ${queriesPerSecond.toFixed(2)} queries/s, ${(100 * cpu).toFixed(2)} % of a core`
}

function skipped(): Row {
  const what = 'credentials that nobody uses'
  return { what, figure: 'no mariadbd or mysqld here', required: 'a server', reached: 'skipped' }
}
