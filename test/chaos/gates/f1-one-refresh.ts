/**
 * F1: brokers x callers at expiry. However the end of a token shows, one refresh serves them all.
 *
 * One broker's clock is 10 minutes fast, another's as slow: they must go by the database's.
 */
import type { Sandbox } from '../../../src/sandbox/sandbox.ts'
import { type Broker, startBroker } from '../broker.ts'
import type { Gate, Lab } from '../lab.ts'
import { type Call, callOnce, failuresOf, isFailed, slowest } from '../load.ts'
import {
  connect,
  type LoggedInWithKey,
  openSandbox,
  openSchema,
  type Schema,
  sharedServer,
} from '../stage.ts'

const MINUTE_MS = 60_000
/** From the last call on: long enough for all brokers to be refreshing at once, if they would. */
const GRANT_MS = 250
const CLOCKS_MS = [0, 10 * MINUTE_MS, -10 * MINUTE_MS]

/** How a token ends: it is soon due, it has ended, upstream refuses it although it seemed good, or not at all. */
const ENDINGS = ['due', 'ended', 'refused', 'good'] as const
export type Ending = (typeof ENDINGS)[number]
/** Refreshing begins 5 minutes before the end: a clock 10 minutes wrong would take each for another. */
const EXPIRES_IN_MS = { due: MINUTE_MS, ended: -1, good: 8 * MINUTE_MS } as const

export interface Scene {
  readonly brokers: readonly Broker[]
  readonly sandbox: Sandbox
  readonly schema: Schema
  readonly config: LoggedInWithKey
}

export interface Round {
  readonly ending: Ending
  readonly grants: number
  readonly calls: readonly Call[]
}

export const oneRefresh: Gate = {
  id: 'F1',
  title: 'callers of several brokers at expiry',
  async run(lab) {
    const callers = lab.size(1_000, 100)
    const scene = await open(lab)
    const rounds: Round[] = []
    for (let i = 0; i < lab.size(60, 8); i += 1) {
      const ending = ENDINGS[i % ENDINGS.length] as Ending
      const round = await play(scene, ending, callers)
      rounds.push(round)
      const took = Math.round(slowest(round.calls))
      lab.say(
        `round ${i + 1} (${ending}): ${round.grants} grants, failures ${failuresOf(round.calls)}, ${took} ms`,
      )
    }
    const calls = rounds.flatMap((round) => round.calls)
    const failed = calls.filter(isFailed).length
    const { familiesRevoked } = scene.sandbox.counts
    const right = rounds.filter(({ ending, grants }) => grants === (ending === 'good' ? 0 : 1)).length
    return [
      {
        what: `${scene.brokers.length} brokers (clocks 0, +10, −10 min) × ${callers} callers × ${rounds.length} rounds: token due, ended, refused, good`,
        figure: `${right} of ${rounds.length} rounds with exactly 1 grant (0 for a good token), ${failed} failed calls, ${familiesRevoked} families revoked`,
        worst: `${Math.max(...rounds.map(({ grants }) => grants))} grants in a round, failures ${failuresOf(calls)}, slowest call ${Math.round(slowest(calls))} ms`,
        required: '1 grant a round, 0 failed, 0 revoked',
        reached: right === rounds.length && failed === 0 && familiesRevoked === 0,
      },
    ]
  },
}

async function open(lab: Lab): Promise<Scene> {
  const schema = await openSchema(lab, await sharedServer())
  const sandbox = await openSandbox(lab)
  const options = { databaseUrl: schema.url, sandbox: sandbox.origin }
  const brokers = await Promise.all(
    CLOCKS_MS.map((clockShiftMs) => startBroker(lab, { ...options, clockShiftMs })),
  )
  const config = await connect(brokers[0] as Broker, sandbox)
  return { brokers, sandbox, schema, config }
}

/** One round, from whatever ends the token to the last answer. */
export async function play(
  { brokers, sandbox, schema, config }: Scene,
  ending: Ending,
  callers: number,
): Promise<Round> {
  const before = sandbox.counts.refreshRequests
  // Sweepers may be the first to find it due; no answer comes before the callers have come.
  const haveCome = Promise.withResolvers<void>()
  for (const { grants } of brokers) grants.onRequest = () => haveCome.promise
  if (ending === 'ended' || ending === 'refused') await sandbox.revokeAccessTokens()
  // `expires_at` is moved in the row; brokers hear of it within a second.
  if (ending === 'refused') {
    await schema.rows.write([config.id], { oauth_expires_at: Date.now() + 60 * MINUTE_MS })
  } else {
    const expiresAt = Date.now() + EXPIRES_IN_MS[ending]
    await schema.rows.write([config.id], { oauth_expires_at: expiresAt, oauth_refreshed_at: null })
  }
  await Promise.all(brokers.map((broker) => broker.hears()))
  const calls = brokers.flatMap((broker) =>
    Array.from({ length: callers }, () => callOnce(() => broker.complete(config.key))),
  )
  setTimeout(haveCome.resolve, GRANT_MS)
  const answered = await Promise.all(calls)
  return { ending, calls: answered, grants: sandbox.counts.refreshRequests - before }
}
