/**
 * F3: whoever holds the lease is stopped, or cut off from the database, for longer than the lease lasts.
 *
 * Another replica, the keeper, serves the same credentials all the while. Every case has a holder of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Sandbox } from '../../../src/sandbox/sandbox.ts'
import { must } from '../../support/broker.ts'
import { type Broker, startBroker } from '../broker.ts'
import { isOf } from '../grants.ts'
import type { Gate, Row } from '../lab.ts'
import { type Call, failuresOf, isFailed, Load } from '../load.ts'
import {
  connect,
  type LoggedInWithKey,
  type Login,
  logIn,
  openSandbox,
  openSchema,
  type Schema,
  sharedServer,
} from '../stage.ts'
import type { Link } from '../tcp-proxy.ts'

const LEASE_MS = 30_000
const MARGIN_MS = 1_000
/** Beside other tests. */
const BUSY_MARGIN_MS = 5_000
/** Long enough for the whole gate, and less than the 300 s from which on a credential is due. */
const STILL_VALID_MS = 250_000
const CALLS_PER_SECOND = 5
const SETTLE_MS = 5_000
const CLAIM_MS = 5_000
/** Its own sweeper looks every few seconds, should its caller find the lease taken. */
const TAKEN_WITHIN_MS = 30_000

interface Scene {
  readonly schema: Schema
  readonly sandbox: Sandbox
  readonly keeper: Broker
}

/** One way to be away. */
interface Case {
  readonly name: string
  /** Readies the holder's surroundings; `held` is to be called when it has the lease and is away. */
  arrange(holder: Broker, config: LoggedInWithKey, held: () => void, sandbox: Sandbox): void
  comeBack(holder: Broker): void
  /** A holder that never sent leaves the refresh token unspent: at the token's end the keeper uses it. */
  readonly hasSent: boolean
  /** Its own callers go on while it is cut off. */
  readonly isServing: boolean
  /** Somebody logs in again, through the keeper, while the holder is away. */
  readonly isRenewed?: boolean
}

const isClaim = (chunk: Buffer, { id }: LoggedInWithKey) =>
  chunk.includes("set `oauth_state` = 'refreshing'") && chunk.includes(id)
const stop = (holder: Broker) => holder.signal('SIGSTOP')
const wake = (holder: Broker) => holder.signal('SIGCONT')
/** It knows key, config and token: what it is to serve without the database. */
async function cutOff(holder: Broker, { key }: LoggedInWithKey): Promise<void> {
  await must(holder.complete(key))
  holder.database.drop()
}

const CASES: readonly Case[] = [
  {
    name: 'paused before it sends',
    arrange(holder, config, held) {
      holder.database.tap = {
        toServer(chunk) {
          if (!isClaim(chunk, config)) return
          holder.database.tap = {}
          stop(holder)
          held()
        },
      }
    },
    comeBack: wake,
    hasSent: false,
    isServing: false,
  },
  {
    name: 'paused after it sent',
    arrange(holder, { login }, held, sandbox) {
      sandbox.faults.next('refresh', { delayMs: 1_000 })
      holder.grants.onRequest = (grant) => {
        if (!isOf(grant, login)) return
        holder.grants.onRequest = undefined
        stop(holder)
        held()
      }
    },
    comeBack: wake,
    hasSent: true,
    isServing: false,
  },
  {
    name: 'paused between update and commit',
    arrange(holder, { id }, held) {
      holder.database.tap = {
        toServer(chunk) {
          if (!chunk.includes('insert into `audit_events`') || !chunk.includes(id)) return
          holder.database.tap = {}
          stop(holder)
          held()
        },
      }
    },
    comeBack: wake,
    hasSent: true,
    isServing: false,
  },
  {
    name: 'cut off before it sends',
    arrange(holder, config, held) {
      let claiming: Link | undefined
      holder.database.tap = {
        toServer(chunk, link) {
          if (isClaim(chunk, config)) claiming = link
        },
        async toClient(_chunk, link) {
          if (link !== claiming) return
          claiming = undefined
          await cutOff(holder, config)
          held()
        },
      }
    },
    comeBack: (holder) => holder.database.heal('forgotten'),
    hasSent: false,
    isServing: true,
  },
  ...[false, true].map(
    (isRenewed): Case => ({
      name: isRenewed ? 'cut off with its answer, and a new login' : 'cut off with its answer',
      arrange(holder, config, held) {
        holder.grants.onAnswer = async (grant) => {
          if (!isOf(grant, config.login)) return
          holder.grants.onAnswer = undefined
          await cutOff(holder, config)
          held()
        }
      },
      comeBack: (holder) => holder.database.heal('late'),
      hasSent: true,
      isServing: true,
      isRenewed,
    }),
  ),
]

export const holderAway: Gate = {
  id: 'F3',
  title: 'the lease holder is away',
  async run(lab) {
    const awayMs = lab.size(60_000, 36_000)
    const marginMs = lab.size(MARGIN_MS, BUSY_MARGIN_MS)
    const schema = await openSchema(lab, await sharedServer())
    const sandbox = await openSandbox(lab)
    const options = { databaseUrl: schema.url, sandbox: sandbox.origin }
    const keeper = await startBroker(lab, options)
    const scene = { schema, sandbox, keeper }
    const holders = await Promise.all(CASES.map(() => startBroker(lab, options)))
    // One after the other, for the faults that some order are everybody's; then all are away at the same time.
    const running: Promise<Row>[] = []
    for (const [index, item] of CASES.entries()) {
      const holder = holders[index] as Broker
      const config = await takeAway(scene, item, holder, [keeper, ...holders.slice(index + 1)])
      lab.say(item.name)
      running.push(play(scene, item, { holder, config, awayMs, marginMs }))
    }
    running.push(believedAtOnce(scene))
    const rows = await Promise.all(running)
    const { reusesDetected, familiesRevoked } = sandbox.counts
    return [
      ...rows,
      {
        what: 'over all of these',
        figure: `${reusesDetected} refresh tokens used twice, ${familiesRevoked} families revoked`,
        worst: '',
        required: '0, 0',
        reached: reusesDetected + familiesRevoked === 0,
      },
    ]
  },
}

/** Brings the holder to have the lease and be away. Sweepers of others would claim it first, and are kept from it. */
async function takeAway(
  { schema, sandbox, keeper }: Scene,
  item: Case,
  holder: Broker,
  others: readonly Broker[],
): Promise<LoggedInWithKey> {
  const config = await connect(keeper, sandbox)
  const away = Promise.withResolvers<boolean>()
  const losesClaims = { toServer: (chunk: Buffer) => !isClaim(chunk, config) }
  for (const other of others) other.database.tap = losesClaims
  item.arrange(holder, config, () => away.resolve(true), sandbox)
  const expires = { oauth_expires_at: Date.now() + STILL_VALID_MS, oauth_refreshed_at: null }
  await schema.rows.write([config.id], expires)
  // Its own sweeper may be faster, and then it is stopped before it hears of anything.
  await Promise.race([holder.hears(), away.promise])
  holder.complete(config.key).catch(() => undefined)
  if (!(await Promise.race([away.promise, sleep(TAKEN_WITHIN_MS, false)]))) {
    throw new Error(`${item.name}: the holder never got the lease`)
  }
  await schema.rows.until(config.id, ({ lease_until }) => lease_until > 0, CLAIM_MS)
  for (const other of others) other.database.tap = {}
  return config
}

interface Away {
  readonly holder: Broker
  readonly config: LoggedInWithKey
  readonly awayMs: number
  /** How long after the lease's end somebody must have taken over. */
  readonly marginMs: number
}

async function play(scene: Scene, item: Case, { holder, config, awayMs, marginMs }: Away): Promise<Row> {
  const { schema, keeper } = scene
  const before = await schema.rows.read(config.id)
  const claimedAt = before.lease_until - LEASE_MS
  const elapsed = () => Date.now() - claimedAt
  await keeper.hears()
  const loads = [keeper, ...(item.isServing ? [holder] : [])].map(
    (broker) => new Load(CALLS_PER_SECOND, () => broker.complete(config.key)),
  )
  const isTakenOver = await schema.rows.until(
    config.id,
    (row) => row.lease_owner !== before.lease_owner || row.oauth_version > before.oauth_version,
    awayMs - elapsed() - MARGIN_MS,
  )
  const takenOverMs = isTakenOver === undefined ? undefined : elapsed()
  let login: Login = config.login
  let renewedMs: number | undefined
  if (!item.hasSent && takenOverMs !== undefined) {
    await schema.rows.write([config.id], { oauth_expires_at: Date.now() - 1 })
    renewedMs = await schema.rows.until(
      config.id,
      (row) => row.oauth_version > before.oauth_version,
      SETTLE_MS,
    )
  } else if (item.isRenewed) {
    login = await logIn(scene.sandbox)
    await must(keeper.admin('PUT', `/api/models/configs/${config.id}`, { oauth_token: login }))
  }
  await sleep(awayMs - elapsed())
  const sentByHolder = () =>
    holder.grants.sent.filter((grant) => isOf(grant, config.login) || isOf(grant, login)).length
  const sentBefore = sentByHolder()
  item.comeBack(holder)
  if (!item.isServing) loads.push(new Load(CALLS_PER_SECOND, () => holder.complete(config.key)))
  // Another replica would put it right again in a moment.
  const isOverwritten = await schema.rows.isOverwritten(config.id, login, SETTLE_MS)
  const calls: Call[] = (await Promise.all(loads.map((load) => load.stop()))).flat()
  const row = await schema.rows.read(config.id)
  const sentLater = sentByHolder() - sentBefore
  const isNewest = await schema.rows.holdsNewest(config.id, login)
  const isInFlight = item.name === 'paused after it sent' && !isNewest
  const fate = isOverwritten
    ? 'THE NEWEST TOKEN WAS OVERWRITTEN'
    : isNewest
      ? 'the row holds the newest token'
      : isInFlight
        ? 'its answer was lost in flight, unread'
        : 'THE NEWEST TOKEN IS LOST'
  return {
    what: `lease holder ${item.name}, ${awayMs / 1000} s`,
    figure: `taken over after ${takenOverMs === undefined ? 'never' : `${(takenOverMs / 1000).toFixed(1)} s`}, ${calls.filter(isFailed).length} failed calls, the woken holder sent ${sentLater} requests`,
    worst: `failures ${failuresOf(calls)}; ${fate}, state ${row.oauth_state}${item.hasSent ? '' : `; refreshed ${renewedMs === undefined ? 'never' : `${Math.round(renewedMs)} ms`} after its token's end`}`,
    required: `taken over within ${(LEASE_MS + marginMs) / 1000} s, 0 failed, 0 sent`,
    reached:
      takenOverMs !== undefined &&
      takenOverMs <= LEASE_MS + marginMs &&
      (item.hasSent || renewedMs !== undefined) &&
      !calls.some(isFailed) &&
      sentLater === 0 &&
      !isOverwritten &&
      (isNewest || isInFlight),
  }
}

/** The server says `invalid_grant` to a refresh token that meanwhile was replaced: nobody is to be logged out. */
async function believedAtOnce({ schema, sandbox, keeper }: Scene): Promise<Row> {
  const config = await connect(keeper, sandbox)
  const error = { error: 'invalid_grant', error_description: 'refresh_token is unknown' }
  const sent = Promise.withResolvers<void>()
  const isReplaced = Promise.withResolvers<void>()
  keeper.grants.onRequest = (grant) => {
    if (!isOf(grant, config.login)) return
    keeper.grants.onRequest = undefined
    sandbox.faults.next('refresh', { status: 400, body: error })
    sent.resolve()
    return isReplaced.promise
  }
  const refreshed = keeper.admin('POST', `/api/models/configs/${config.id}/refresh`)
  await sent.promise
  const login = await logIn(sandbox)
  await must(keeper.admin('PUT', `/api/models/configs/${config.id}`, { oauth_token: login }))
  isReplaced.resolve()
  const { status } = await refreshed
  const row = await schema.rows.read(config.id)
  const isNewest = await schema.rows.holdsNewest(config.id, login)
  const call = await keeper.complete(config.key)
  return {
    what: 'invalid_grant for a refresh token that a new login replaced meanwhile',
    figure: `state ${row.oauth_state}, the refresh answered ${status}, the next call ${call.status}`,
    worst: isNewest ? 'the row holds the new login' : 'THE NEW LOGIN IS LOST',
    required: 'active, 200, 200',
    reached: isNewest && row.oauth_state === 'active' && status === 200 && call.status === 200,
  }
}
