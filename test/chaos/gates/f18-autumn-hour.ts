/**
 * F18: the database server's local clock begins an autumn hour, or begins it again, while leases are held, and the
 * brokers' own clocks are ten minutes apart.
 *
 * The server is given a time zone in which that happens in a few seconds.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { LEASE_MS } from '../../../src/credential/credential-store.ts'
import type { Sandbox } from '../../../src/sandbox/sandbox.ts'
import type { MysqlServer } from '../../support/mysql-server.ts'
import { type Broker, startBroker } from '../broker.ts'
import type { Row as Finding, Gate, Lab } from '../lab.ts'
import { type Call, callOnce, failuresOf, isFailed } from '../load.ts'
import type { Row } from '../rows.ts'
import { connect, type LoggedInWithKey, openSandbox, openSchema, ownServer, type Schema } from '../stage.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const SHIFTS_MS = [0, 10 * MINUTE_MS, -10 * MINUTE_MS]
/** To start the server again in its new zone. */
const LEAD_MS = 10_000
/** The answer that is on its way while the hour begins takes so long; a broker waits 10 s for it. */
const SLOW_ANSWER_MS = 6_000
const BEFORE_MS = 3_000
const MAX_LEASE_MS = LEASE_MS + 1_000
const CALLERS = 20
const TAKE_OVER_MS = LEASE_MS + 5_000

/** After which the ambiguous hour begins, or its first pass is over. */
const MOMENTS = { 'begins for the first time': HOUR_MS, 'begins for the second time': 0 }

export const autumnHour: Gate = {
  id: 'F18',
  title: "the database's clock over the autumn hour",
  async run(lab) {
    const findings = Object.entries(MOMENTS).map(([name, toEndMs]) => endure(lab, name, toEndMs))
    return Promise.all(findings)
  },
}

async function endure(lab: Lab, name: string, toEndMs: number): Promise<Finding> {
  const sandbox = await openSandbox(lab)
  const server = await ownServer(lab)
  const schema = await openSchema(lab, server)
  const brokers = await Promise.all(
    SHIFTS_MS.map((clockShiftMs) =>
      startBroker(lab, { databaseUrl: schema.url, sandbox: sandbox.origin, clockShiftMs }),
    ),
  )
  const [first, second] = brokers as [Broker, Broker]
  const slow = await connect(first, sandbox)
  const orphan = await connect(second, sandbox)
  const calls = await round(schema, brokers, slow)
  const changeAt = await startAgain(server, toEndMs)

  await sleep(changeAt - BEFORE_MS - Date.now())
  lab.say(`the hour ${name} in ${Math.round((changeAt - Date.now()) / 1000)} s`)
  // One whose holder dies with the lease in its hand, and one whose answer comes when the hour has begun.
  await dieHolding(second, orphan)
  delayAnswer(sandbox)
  const refreshing = callOnce(() => first.admin('POST', `/api/models/configs/${slow.id}/refresh`))
  const longest = watchLeases(schema, [slow.id, orphan.id])
  while (Date.now() < changeAt + SLOW_ANSWER_MS) {
    await sleep(200)
    calls.push(
      ...(await Promise.all(
        brokers.filter((one) => one !== second).map((one) => callOnce(() => one.complete(slow.key))),
      )),
    )
  }
  calls.push(await refreshing)
  const before = await schema.rows.read(orphan.id)
  const takenOver = lab.size(1, 0) ? await takeOver(schema, first, orphan, before.oauth_version) : undefined
  await second.start()
  for (let rounds = lab.size(10, 3); rounds > 0; rounds -= 1)
    calls.push(...(await round(schema, brokers, slow)))
  const longestMs = await longest()
  const { reusesDetected } = sandbox.counts
  const isTaken = lab.size(1, 0) === 0 || takenOver !== undefined
  return {
    what: `the hour ${name}, brokers' clocks ${SHIFTS_MS.map((ms) => ms / MINUTE_MS).join(', ')} min off; ${calls.length} calls`,
    figure: `${reusesDetected} tokens sent twice, longest lease ${(longestMs / 1000).toFixed(1)} s, ${calls.filter(isFailed).length} failed calls`,
    worst: `failures ${failuresOf(calls)}; ${lab.size(1, 0) ? `the lease of a dead holder was taken over ${takenOver === undefined ? 'NEVER' : `after ${Math.round(takenOver / 1000)} s`}` : 'the lease of a dead holder was not waited for'}`,
    required: `0 sent twice, no lease above ${MAX_LEASE_MS / 1000} s, 0 failed`,
    reached: reusesDetected === 0 && longestMs <= MAX_LEASE_MS && !calls.some(isFailed) && isTaken,
  }
}

/** Resolves with the moment at which the hour begins, which is a while ahead however slow the machine is. */
async function startAgain(server: MysqlServer, toEndMs: number): Promise<number> {
  for (let leadMs = LEAD_MS; ; leadMs *= 2) {
    const changeAt = Date.now() + leadMs
    await server.kill()
    await server.restart(zoneThatEnds(changeAt + toEndMs))
    if (changeAt - Date.now() > leadMs / 2) return changeAt
  }
}

/**
 * As TZ has it: UTC, but for an hour more from the beginning of the year until then. The hour before runs twice.
 */
function zoneThatEnds(endsAt: number): string {
  const local = new Date(endsAt + HOUR_MS)
  const day = Math.floor((local.getTime() - Date.UTC(local.getUTCFullYear(), 0, 1)) / (24 * HOUR_MS))
  return `STD0DST-1,0/0,${day}/${local.toISOString().slice(11, 19)}`
}

/** Everybody finds the token ended. */
async function round(schema: Schema, brokers: readonly Broker[], config: LoggedInWithKey): Promise<Call[]> {
  await schema.rows.write([config.id], { oauth_expires_at: Date.now() - 1_000, oauth_refreshed_at: null })
  await Promise.all(brokers.map((broker) => broker.isReady()))
  const callers = brokers.flatMap((broker) => Array.from({ length: CALLERS }, () => broker))
  return Promise.all(callers.map((broker) => callOnce(() => broker.complete(config.key))))
}

function delayAnswer(sandbox: Sandbox): void {
  sandbox.faults.next('refresh', { delayMs: SLOW_ANSWER_MS })
}

/** Its refresh token is not sent, and its lease is not given back. */
async function dieHolding(broker: Broker, config: LoggedInWithKey): Promise<void> {
  const { promise: sent, resolve } = Promise.withResolvers<void>()
  broker.grants.onRequest = async () => {
    broker.grants.onRequest = undefined
    await broker.kill()
    resolve()
    return false
  }
  callOnce(() => broker.admin('POST', `/api/models/configs/${config.id}/refresh`))
  await sent
}

/** Milliseconds from now until another broker has renewed the credential. */
async function takeOver(
  schema: Schema,
  broker: Broker,
  config: LoggedInWithKey,
  version: number,
): Promise<number | undefined> {
  const asking = setInterval(() => {
    callOnce(() => broker.admin('POST', `/api/models/configs/${config.id}/refresh`))
  }, 1_000)
  const isRenewed = ({ oauth_version }: Row) => oauth_version > version
  const ms = await schema.rows.until(config.id, isRenewed, TAKE_OVER_MS)
  clearInterval(asking)
  return ms
}

/** How far in the future a lease ever ended, by the clock that does not change. */
function watchLeases(schema: Schema, ids: readonly string[]): () => Promise<number> {
  let longest = 0
  let isOver = false
  const watching = (async () => {
    while (!isOver) {
      for (const id of ids) {
        const { lease_until } = await schema.rows.read(id)
        longest = Math.max(longest, lease_until - Date.now())
      }
      await sleep(50)
    }
  })()
  return async () => {
    isOver = true
    await watching
    return longest
  }
}
