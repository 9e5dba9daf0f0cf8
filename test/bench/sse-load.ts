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
export function readFlood(
  peer: Peer,
  { streams, chunks, passes }: { readonly streams: number; readonly chunks: number; readonly passes: number },
): Promise<PricedResult> {
  const read = () => readStreams(peer, { streams, chunks, passes, pauseMs: 0 })
  return priced(peer, streams * chunks * passes, read)
}

/** @param upstream a running `sse-ping-pong`, which `peer` stands in front of */
export function pingPong(
  upstream: ScriptServer,
  peer: Peer,
  { streams, chunks }: { readonly streams: number; readonly chunks: number },
): Promise<PricedResult> {
  const { name, origin, headers } = peer
  const order: PingPongOrder = { origin, headers, streams, chunks }
  const read = async () => assertExact(name, await upstream.ask<SseResult>(order))
  return priced(peer, streams * chunks, read)
}

async function priced(
  { pid = 0 }: Peer,
  chunks: number,
  read: () => Promise<SseResult>,
): Promise<PricedResult> {
  const before = cpuSeconds(pid) ?? Number.NaN
  const result = await read()
  return { ...result, cpuMicros: (((cpuSeconds(pid) ?? Number.NaN) - before) / chunks) * 1e6 }
}

function assertExact(name: string, result: SseResult): SseResult {
  if (result.broken === 0) return result
  throw new PeerFailed(`${name}: ${result.broken} streams broken: ${result.problems.join('; ')}`)
}
