/**
 * Closed-loop load from a second process: wrk, or autocannon where there is no wrk.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Lab, PeerFailed } from './lab.ts'
import { CALL_PATH } from './messages.ts'
import { type Peer, verify } from './peers.ts'
import { cpuSeconds, runScript } from './processes.ts'
import { inRounds, type Rounds } from './rounds.ts'
import type { OpenLoopOptions, OpenLoopResult } from './scripts/open-loop-client.ts'
import { median } from './statistics.ts'

const run = promisify(execFile)

export const CONNECTIONS = 32

export interface LoadResult {
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** What the peer spent on a call, in microseconds of processor time; undefined where nobody can tell. */
  readonly cpuMicros: number | undefined
}

interface Counted {
  readonly calls: number
  readonly seconds: number
  readonly p50: number
  readonly p99: number
  readonly badStatus: number
  readonly socketErrors: number
}

/** @throws PeerFailed if a single call failed */
export async function load(lab: Lab, peer: Peer, seconds: number): Promise<LoadResult> {
  const cpuBefore = peer.pid && cpuSeconds(peer.pid)
  const counted = lab.hasWrk ? await wrk(lab, peer, seconds) : await autocannon(peer, seconds)
  const cpuAfter = peer.pid && cpuSeconds(peer.pid)
  const { calls, badStatus, socketErrors } = counted
  if (calls === 0 || badStatus > 0 || socketErrors > 0) {
    throw new PeerFailed(
      `${peer.name}: ${calls} calls, ${badStatus} bad answers, ${socketErrors} socket errors`,
    )
  }
  return {
    perSecond: calls / counted.seconds,
    p50: counted.p50,
    p99: counted.p99,
    cpuMicros: cpuBefore && cpuAfter ? ((cpuAfter - cpuBefore) / calls) * 1e6 : undefined,
  }
}

const CAPACITY_ROUNDS = 3

/** Calls a second that a peer can do, once it is warm. */
export async function capacityOf(lab: Lab, peer: Peer): Promise<number> {
  await load(lab, peer, 2 * lab.seconds)
  const speeds: number[] = []
  while (speeds.length < CAPACITY_ROUNDS) {
    const { perSecond } = await lab.disturbance.measure(peer.name, () => load(lab, peer, lab.seconds))
    speeds.push(perSecond)
  }
  return median(speeds)
}

/** Open-loop load from a second process. Calls that fail are counted, not thrown: see the result. */
export function openLoad(
  peer: Peer,
  options: Pick<OpenLoopOptions, 'perSecond' | 'seconds' | 'warmUpSeconds' | 'keys'>,
): Promise<OpenLoopResult> {
  const { origin, headers, body } = peer
  return runScript('open-loop-client', { origin, headers, body, path: CALL_PATH, ...options })
}

/** @throws PeerFailed if a single call failed */
export async function flawlessOpenLoad(
  peer: Peer,
  options: Parameters<typeof openLoad>[1],
): Promise<OpenLoopResult> {
  const result = await openLoad(peer, options)
  if (result.failed > 0) throw new PeerFailed(`${peer.name}: ${result.problems.join(', ')}`)
  return result
}

async function wrk(lab: Lab, peer: Peer, seconds: number): Promise<Counted> {
  const script = join(lab.dir, `${peer.name}.lua`)
  writeFileSync(
    script,
    `local text = ${JSON.stringify(requestText(peer))}
function request() return text end
function done(summary, latency)
  local e = summary.errors
  print(string.format('{"calls":%d,"seconds":%f,"p50":%f,"p99":%f,"badStatus":%d,"socketErrors":%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status, e.connect + e.read + e.write + e.timeout))
end
`,
  )
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '-s', script, peer.origin + CALL_PATH]
  const { stdout } = await run('wrk', args)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Counted
}

/** Its headers always in the same order, as a client has them: from a table wrk takes them in another each time. */
function requestText({ origin, headers, body }: Peer): string {
  const lines = Object.entries({
    host: new URL(origin).host,
    ...headers,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
  }).map(([name, value]) => `${name}: ${value}`)
  return [`POST ${CALL_PATH} HTTP/1.1`, ...lines, '', body].join('\r\n')
}

interface AutocannonResult {
  readonly requests: { readonly total: number }
  readonly duration: number
  readonly latency: { readonly p50: number; readonly p99: number }
  readonly non2xx: number
  readonly errors: number
  readonly timeouts: number
}

async function autocannon(peer: Peer, seconds: number): Promise<Counted> {
  const main = createRequire(import.meta.url).resolve('autocannon')
  const headers = Object.entries({ 'content-type': 'application/json', ...peer.headers })
  const args = ['--json', '-c', String(CONNECTIONS), '-d', String(seconds), '-m', 'POST', '-b', peer.body]
  const flags = headers.flatMap(([name, value]) => ['-H', `${name}=${value}`])
  const { stdout } = await run(process.execPath, [main, ...args, ...flags, peer.origin + CALL_PATH])
  const { requests, duration, latency, non2xx, errors, timeouts } = JSON.parse(stdout) as AutocannonResult
  return {
    calls: requests.total,
    seconds: duration,
    p50: latency.p50,
    p99: latency.p99,
    badStatus: non2xx,
    socketErrors: errors + timeouts,
  }
}

/** Calls a second of each, warmed up, round by round. */
export async function throughputs(
  lab: Lab,
  gate: string,
  peers: readonly Peer[],
): Promise<Rounds<LoadResult>> {
  for (const peer of peers) {
    await verify(peer)
    lab.say(`${gate} warming up ${peer.name}`)
    await load(lab, peer, 2 * lab.seconds)
  }
  const measure = (peer: Peer) => load(lab, peer, lab.seconds)
  return inRounds(lab, gate, peers, measure, ({ perSecond }) => `${Math.round(perSecond)}/s`)
}

/** The medians of one peer, for the notes. */
export function describeLoads(rounds: Rounds<LoadResult>, name: string): string {
  const cpu = median(rounds.all(name, ({ cpuMicros }) => cpuMicros ?? Number.NaN))
  return [
    `${name}: ${Math.round(rounds.median(name, ({ perSecond }) => perSecond))} calls/s`,
    `p50 ${rounds.median(name, ({ p50 }) => p50).toFixed(2)} ms`,
    `p99 ${rounds.median(name, ({ p99 }) => p99).toFixed(2)} ms`,
    ...(Number.isNaN(cpu) ? [] : [`${cpu.toFixed(0)} µs of CPU a call`]),
  ].join(', ')
}
