/**
 * F6, the other half: the authorization server is gone, for as long as it takes until pauses grow no longer, and
 * comes back. All tokens have ended.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Secret } from '../../../src/base/secret.ts'
import { openDatabase } from '../../../src/storage/database.ts'
import { must } from '../../support/broker.ts'
import { insertLogins, type PlannedLogin, planLogin } from '../../support/logins.ts'
import { providerOf, startTokenServer, type TokenServer } from '../../support/token-server.ts'
import { ENCRYPTION_KEY, startBroker } from '../broker.ts'
import type { Lab, Row } from '../lab.ts'
import { type Call, callOnce, failuresOf, slowest } from '../load.ts'
import { openSandbox, openSchema, sharedServer } from '../stage.ts'

const BACK_WITHIN_MS = 60_000
const MAX_WAIT_MS = 12_000
/** Every credential is called so often. */
const CALL_EVERY_MS = 5_000
/** What a busy machine adds to the wait of a caller. */
const SLACK_MS = 1_000

export async function serverGone(lab: Lab): Promise<Row> {
  const [server, models] = [await startTokenServer(lab), await startTokenServer(lab)]
  await server.shut()
  const gone = providerOf(server, { upstream: { base_url: `${models.origin}/v1` } })
  const schema = await openSchema(lab, await sharedServer())
  const { origin: sandbox } = await openSandbox(lab)
  const broker = await startBroker(lab, { databaseUrl: schema.url, sandbox, providers: { gone } })
  const logins = await insertEnded(lab, schema.url, lab.size(300, 60))
  await broker.hears()
  const key = (await must(broker.admin('POST', '/api/keys', { name: 'gone' }))).key
  const all = () => Promise.all(logins.map(({ name }) => callOnce(() => broker.complete(key, `${name}/m`))))

  const away = await callAll(all, lab.size(180_000, 25_000))
  lab.say(`away: ${away.length} calls, the slowest ${Math.round(slowest(away))} ms`)
  await server.open()
  const backAt = performance.now()
  const backMs = await untilAllAnswer(all, backAt)
  return judge({ away, backMs, server, logins })
}

async function insertEnded(lab: Lab, url: string, count: number): Promise<PlannedLogin[]> {
  const expiresAt = Date.now() - 60_000
  const logins = Array.from({ length: count }, (_, index) =>
    planLogin({ name: `gone-${index}`, provider: 'gone', expiresAt }),
  )
  const database = openDatabase({ dataDir: lab.dir, mysqlUrl: new Secret(url) })
  await insertLogins(database, logins, ENCRYPTION_KEY)
  await database.close()
  return logins
}

async function callAll(all: () => Promise<Call[]>, forMs: number): Promise<Call[]> {
  const calls: Call[] = []
  for (const until = performance.now() + forMs; performance.now() < until; ) {
    const pause = sleep(CALL_EVERY_MS)
    calls.push(...(await all()))
    await pause
  }
  return calls
}

/** Milliseconds after the return until each of them answers; Infinity: not all do. */
async function untilAllAnswer(all: () => Promise<Call[]>, backAt: number): Promise<number> {
  while (performance.now() - backAt < 2 * BACK_WITHIN_MS) {
    if ((await all()).every(({ status }) => status === 200)) return performance.now() - backAt
    await sleep(500)
  }
  return Number.POSITIVE_INFINITY
}

interface Findings {
  readonly away: readonly Call[]
  readonly backMs: number
  readonly server: TokenServer
  readonly logins: readonly PlannedLogin[]
}

function judge({ away, backMs, server, logins }: Findings): Row {
  const wrong = away.filter(({ status, ms }) => status !== 503 || ms > MAX_WAIT_MS + SLACK_MS)
  return {
    what: `gone × ${logins.length}, all tokens ended`,
    figure: `all answer ${(backMs / 1000).toFixed(1)} s after its return; ${server.underWayAtFirst} refreshes under way when the first got its tokens, then at most ${server.mostUnderWay}`,
    worst: `${wrong.length} of ${away.length} calls were not told 503 within 12 s while it was away (${failuresOf(wrong)}); ${server.reused.length} tokens sent twice`,
    required: '60 s, one probe at a time, at most 32 at once',
    reached:
      backMs <= BACK_WITHIN_MS &&
      server.underWayAtFirst === 1 &&
      server.mostUnderWay <= 32 &&
      wrong.length + server.reused.length === 0,
  }
}
