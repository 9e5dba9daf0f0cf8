/**
 * F8: clients hang up before the head of their answer, in the middle of a stream, or while a refresh is awaited.
 */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Sandbox } from '../../../src/sandbox/sandbox.ts'
import type { Broker } from '../broker.ts'
import { type SlowUpstream, startSlowUpstream } from '../fixtures/slow-upstream.ts'
import type { Gate, Row } from '../lab.ts'
import { quantile } from '../load.ts'
import { connect, type LoggedInWithKey, openInFrontOf, type Scene as StageScene } from '../stage.ts'

const MODEL = 'slow-model'
const ABORTED_WITHIN_MS = 1_000
const DESCRIPTORS = 5
const HEAP = 0.1
const AT_ONCE = 100
/** A client leaves so soon after it sent its request, or after its first chunk. */
const LATEST_MS = 200
/** Until kept-alive connections are closed and timers have run. */
const SETTLE_MS = 7_000
const CLIENTS_A_REFRESH = 25
/** Less than a refresh request may take. */
const NOTICED_WITHIN_MS = 5_000
const RENEWED_WITHIN_MS = 30_000
const POLL_MS = 10

interface Scene extends StageScene<SlowUpstream> {
  /** For a config whose upstream is the slow one. */
  readonly key: string
}

type Moment = 'before the head' | 'mid-stream'

export const clientsLeave: Gate = {
  id: 'F8',
  title: 'clients leave',
  async run(lab) {
    const stage = await openInFrontOf(lab, startSlowUpstream, { model: MODEL, nodeArgs: ['--expose-gc'] })
    const scene: Scene = { ...stage, key: await stage.createKey() }
    const clients = lab.size(4_000, 200)
    const refreshes = lab.size(1_000, 75) / CLIENTS_A_REFRESH
    const config = await connect(scene.broker, scene.sandbox)
    // Whatever is built once is built now.
    await leave(scene, 'warm-up', lab.size(600, 200))
    await leaveWhileRefreshing(scene, config)
    await sleep(SETTLE_MS)
    const before = await footprint(scene.broker)

    const left = await leave(scene, 'client', clients)
    const delays = await delaysOf(scene, left)
    lab.say(`${clients} clients left, upstream aborted p99 ${Math.round(quantile(delays.all, 0.99))} ms`)
    const kept: boolean[] = []
    const upstreamBefore = scene.sandbox.counts.upstreamCalls
    for (let i = 0; i < refreshes; i += 1) kept.push(await leaveWhileRefreshing(scene, config))
    const sentForNobody = scene.sandbox.counts.upstreamCalls - upstreamBefore
    lab.say(`${kept.length} refreshes left alone, ${kept.filter((isKept) => !isKept).length} of them cut off`)
    await sleep(SETTLE_MS)
    const after = await footprint(scene.broker)
    return [
      aborted(clients, delays),
      leftAlone(kept, sentForNobody, scene.sandbox),
      unchanged(before, after, clients + refreshes * CLIENTS_A_REFRESH),
    ]
  },
}

/** When each client left, by `user`. */
async function leave(
  { lab, broker, key }: Scene,
  name: string,
  clients: number,
): Promise<Map<string, number>> {
  const left = new Map<string, number>()
  // Key and token are known: what is to be seen is leaving, not how long a busy database takes for the first caller.
  await leaveOnce({ broker, key, moment: 'mid-stream', user: `before ${name}`, afterMs: 0 })
  let next = 0
  const one = async () => {
    while (next < clients) {
      const user = `${name} ${next}`
      const moment: Moment = next % 2 === 0 ? 'before the head' : 'mid-stream'
      next += 1
      await leaveOnce({ broker, key, moment, user, afterMs: lab.random.between(0, LATEST_MS) })
      left.set(user, performance.now())
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
  return left
}

interface Client {
  readonly broker: Broker
  readonly key: string
  readonly user: string
  readonly moment: Moment
  readonly afterMs: number
  readonly model?: string
}

/** Resolves at the moment the client's socket is torn down. */
async function leaveOnce({ broker, key, user, moment, afterMs, model = MODEL }: Client): Promise<void> {
  const stream = moment === 'mid-stream'
  const call = request(`${broker.origin}/v1/chat/completions`, {
    method: 'POST',
    agent: false,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  })
  call.on('error', () => {}) // our own hanging up
  const head = new Promise<IncomingMessage>((resolve) => call.once('response', resolve))
  const sent = once(call, 'finish')
  call.end(JSON.stringify({ model, user, stream, messages: [{ role: 'user', content: 'hi' }] }))
  await sent
  if (stream) {
    const answer = await head
    answer.on('error', () => {})
    await new Promise((resolve) => answer.once('data', resolve))
  }
  await sleep(afterMs)
  call.destroy()
}

interface Delays {
  readonly all: readonly number[]
  readonly stillOpen: number
}

/** From a client's leaving until upstream was rid of its call. Calls that never got there have none. */
async function delaysOf({ upstream }: Scene, left: ReadonlyMap<string, number>): Promise<Delays> {
  await sleep(2 * ABORTED_WITHIN_MS)
  const all: number[] = []
  let stillOpen = 0
  for (const [user, leftAt] of left) {
    if (!upstream.calls.has(user)) continue
    const endedAt = upstream.calls.get(user)
    if (endedAt === undefined) stillOpen += 1
    all.push(endedAt === undefined ? Number.POSITIVE_INFINITY : Math.max(0, endedAt - leftAt))
  }
  return { all, stillOpen }
}

/** All who wait for a refresh leave before it is done. @returns whether its answer arrived in the row all the same */
async function leaveWhileRefreshing(scene: Scene, config: LoggedInWithKey): Promise<boolean> {
  const { lab, broker, schema } = scene
  // The broker's sweeper may be the first to find it due; the answer comes when all have left.
  const haveLeft = Promise.withResolvers<void>()
  broker.grants.onRequest = () => haveLeft.promise
  const { oauth_version: before } = await schema.rows.read(config.id)
  await schema.rows.write([config.id], {
    oauth_expires_at: Date.now() - 1,
    oauth_state: 'active',
    next_attempt_at: 0,
  })
  await broker.hears()
  const clients = Array.from({ length: CLIENTS_A_REFRESH }, (_, index) =>
    leaveOnce({
      ...{ broker, key: config.key, user: String(index), moment: 'before the head', model: 'sandbox-model' },
      afterMs: lab.random.between(0, LATEST_MS),
    }),
  )
  await Promise.all(clients)
  const giveUpAt = performance.now() + NOTICED_WITHIN_MS
  while (broker.clientsNotLetGo() > 0 && performance.now() < giveUpAt) await sleep(POLL_MS)
  haveLeft.resolve()
  const renewed = await schema.rows.until(config.id, (row) => row.oauth_version > before, RENEWED_WITHIN_MS)
  await sleep(LATEST_MS)
  return renewed !== undefined && (await schema.rows.holdsNewest(config.id, config.login))
}

interface Footprint {
  readonly descriptors: number
  readonly heap: number
}

async function footprint(broker: Broker): Promise<Footprint> {
  const heap = await broker.memoryInUse()
  return { heap, descriptors: broker.descriptors() }
}

function aborted(clients: number, { all, stillOpen }: Delays): Row {
  const p99 = quantile(all, 0.99)
  return {
    what: `${clients} clients leave, half before the head and half mid-stream`,
    figure: `upstream aborted p99 ${p99.toFixed(1)} ms, ${stillOpen} still open`,
    worst: `${Math.round(Math.max(...all))} ms (${all.length} calls had reached upstream)`,
    required: `p99 < ${ABORTED_WITHIN_MS / 1000} s, 0 open`,
    reached: p99 < ABORTED_WITHIN_MS && stillOpen === 0 && all.length > clients / 2,
  }
}

function leftAlone(kept: readonly boolean[], sentForNobody: number, { counts }: Sandbox): Row {
  const lost = kept.filter((isKept) => !isKept).length
  return {
    what: `all ${CLIENTS_A_REFRESH} clients that wait for a refresh leave, ${kept.length} times`,
    figure: `${lost} refreshes cut off, ${sentForNobody} calls sent upstream for nobody`,
    worst: `${counts.reusesDetected} refresh tokens used twice`,
    required: '0 cut off, 0 sent for nobody',
    reached: lost + sentForNobody + counts.reusesDetected === 0,
  }
}

function unchanged(before: Footprint, after: Footprint, clients: number): Row {
  const descriptors = after.descriptors - before.descriptors
  const heap = after.heap / before.heap - 1
  const signed = (value: number, digits: number) =>
    `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`
  return {
    what: `what the broker is left with after ${clients} clients that left`,
    figure: `descriptors ${signed(descriptors, 0)}, heap after garbage collection ${signed(100 * heap, 1)} %`,
    worst: `${after.descriptors} descriptors, ${(after.heap / 2 ** 20).toFixed(1)} MiB`,
    required: `±${DESCRIPTORS}, ±${100 * HEAP} %`,
    reached: Math.abs(descriptors) <= DESCRIPTORS && Math.abs(heap) <= HEAP,
  }
}
