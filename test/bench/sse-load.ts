/**
 * Streams from a second process, checked byte by byte.
 */
import { PeerFailed } from './lab.ts'
import type { Peer } from './peers.ts'
import { cpuSeconds, runScript, type ScriptServer } from './processes.ts'
import type { SseClientOptions, SseResult } from './scripts/sse-client.ts'
import type { PingPongOrder } from './scripts/sse-ping-pong.ts'

/**
 * @param onOpen called once every stream has had its first chunk
 * @throws PeerFailed if a single stream differs from what was sent
 */
export async function readStreams(
  { name, origin, headers }: Peer,
  options: Omit<SseClientOptions, 'origin' | 'headers'>,
  onOpen: () => void = () => {},
): Promise<SseResult> {
  const result = await runScript<SseResult>('sse-client', { origin, headers, ...options }, onOpen)
  return assertExact(name, result)
}

export interface PricedResult extends SseResult {
  /** What the peer spent on a chunk, in microseconds of processor time; NaN where nobody can tell. */
  readonly cpuMicros: number
}

/** As fast as they come. */
export async function readFlood(
  peer: Peer,
  { streams, chunks, passes }: { readonly streams: number; readonly chunks: number; readonly passes: number },
): Promise<PricedResult> {
  const before = cpuSeconds(peer.pid ?? 0) ?? Number.NaN
  const result = await readStreams(peer, { streams, chunks, passes, pauseMs: 0 })
  const seconds = (cpuSeconds(peer.pid ?? 0) ?? Number.NaN) - before
  return { ...result, cpuMicros: (seconds / (streams * chunks * passes)) * 1e6 }
}

/** @param upstream a running `sse-ping-pong`, which `peer` stands in front of */
export async function pingPong(
  upstream: ScriptServer,
  { name, origin, headers, pid = 0 }: Peer,
  { streams, chunks }: { readonly streams: number; readonly chunks: number },
): Promise<PricedResult> {
  const before = cpuSeconds(pid) ?? Number.NaN
  const order: PingPongOrder = { origin, headers, streams, chunks }
  const result = assertExact(name, await upstream.ask<SseResult>(order))
  const cpuMicros = (((cpuSeconds(pid) ?? Number.NaN) - before) / (streams * chunks)) * 1e6
  return { ...result, cpuMicros }
}

function assertExact(name: string, result: SseResult): SseResult {
  if (result.broken === 0) return result
  throw new PeerFailed(`${name}: ${result.broken} streams broken: ${result.problems.join('; ')}`)
}
