/**
 * Calls at a constant rate, whatever the answers do. A call's latency counts from the moment it was due, so that
 * a stall shows in every call that it delayed (no coordinated omission).
 *
 * Keeps one core busy: timers have milliseconds, and bursts of calls would queue behind each other. Calls go through
 * the project's own pool, for all peers alike: it spends the least.
 */
import type { BrokerError } from '../../../src/base/errors.ts'
import type { Head } from '../../../src/upstream/call.ts'
import { UpstreamPool } from '../../../src/upstream/pool.ts'
import { percentile } from '../statistics.ts'
import { finish, options } from './parent.ts'

export interface OpenLoopOptions {
  readonly origin: string
  readonly path: string
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
  /** Broker keys to take turns with; else `headers` says it all. */
  readonly keys?: readonly string[]
  readonly perSecond: number
  readonly seconds: number
  /** Calls of the first seconds are made but not counted. */
  readonly warmUpSeconds: number
}

export interface OpenLoopResult {
  readonly calls: number
  /** Anything but a whole 200. */
  readonly failed: number
  readonly problems: readonly string[]
  readonly p50: number
  readonly p99: number
  /** Milliseconds, like the percentiles. */
  readonly worst: number
  /** p99 of how late this client itself was in sending. */
  readonly lagP99: number
}

const given = options<OpenLoopOptions>()
const pool = new UpstreamPool()
const body = Buffer.from(given.body)
const headers = { 'content-type': 'application/json', ...given.headers }
const withKeys = given.keys?.map((key) => ({ ...headers, authorization: `Bearer ${key}` })) ?? [headers]
const variants = withKeys.map((variant) => Object.entries(variant).flat())

const everyMs = 1000 / given.perSecond
const skipped = Math.round(given.warmUpSeconds * given.perSecond)
const total = skipped + Math.round(given.seconds * given.perSecond)
const latencies = new Float64Array(total - skipped)
const lags = new Float64Array(total - skipped)
const problems = new Map<string, number>()
let sent = 0
let answered = 0
const startedAt = performance.now()
sendWhatIsDue()

function sendWhatIsDue(): void {
  for (;;) {
    const dueAt = startedAt + sent * everyMs
    const now = performance.now()
    if (sent === total) return
    if (dueAt > now) break
    if (sent >= skipped) lags[sent - skipped] = now - dueAt
    makeCall(sent, dueAt)
    sent += 1
  }
  setImmediate(sendWhatIsDue)
}

function makeCall(index: number, dueAt: number): void {
  const done = (problem: string | undefined) => {
    if (index >= skipped) latencies[index - skipped] = performance.now() - dueAt
    if (problem) problems.set(problem, (problems.get(problem) ?? 0) + 1)
    answered += 1
    if (answered === total) report()
  }
  const call = pool.send({
    origin: given.origin,
    path: given.path,
    method: 'POST',
    headers: variants[index % variants.length] ?? [],
    body,
  })
  const read = ({ status }: Head) =>
    call.pipeTo({
      chunk: () => true,
      end: () => done(status === 200 ? undefined : `status ${status}`),
      fail: ({ detail }) => done(detail),
    })
  call.head.then(read, ({ detail }: BrokerError) => done(detail))
}

function report(): void {
  latencies.sort()
  lags.sort()
  finish({
    calls: latencies.length,
    failed: [...problems.values()].reduce((sum, count) => sum + count, 0),
    problems: [...problems].map(([problem, count]) => `${count} x ${problem}`),
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    worst: latencies.at(-1) ?? Number.NaN,
    lagP99: percentile(lags, 0.99),
  } satisfies OpenLoopResult)
}
