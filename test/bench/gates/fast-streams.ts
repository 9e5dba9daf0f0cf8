/**
 * P2: many short streams at once, as fast as upstream sends, and chunk by chunk.
 *
 * The gate is the flood: a stream is written in one go, and a peer reads many chunks at once. Chunk by chunk nothing
 * can be read together, every chunk costs its full price, and most of that is the kernel's: this is noted beside.
 */
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { bareProxy, before, broker, direct, nginxProxy, type Peer } from '../peers.ts'
import { startScript } from '../processes.ts'
import { besideBefore, inRounds, type Rounds, ratioRow } from '../rounds.ts'
import type { SseResult } from '../scripts/sse-client.ts'
import { type PricedResult, pingPong, readFlood } from '../sse-load.ts'
import { median, pairwise } from '../statistics.ts'
import { originOf, startSseUpstream } from '../upstreams.ts'

const STREAMS = 200
const CHUNKS = 200
const FLOOD = { streams: STREAMS, chunks: CHUNKS, passes: 5 }
/** Long enough for the clock that counts processor time. */
const LONG_FLOOD = { ...FLOOD, passes: 15 }
const WARM_UPS = 2
const LEAST = 1.5

export const fastStreams: Gate = {
  id: 'P2',
  title: `SSE, ${STREAMS} streams at once x ${CHUNKS} chunks of 60 bytes`,
  async run(lab: Lab): Promise<Findings> {
    const { flood, compared } = await measureFlood(lab)
    const single = await measureChunkByChunk(lab)
    const perSecond = ({ chunksPerSecond }: SseResult) => chunksPerSecond
    const speeds = (name: string) => flood.all(name, perSecond)
    const firsts = (name: string) => flood.all(name, ({ firstChunkMs }) => firstChunkMs)
    return {
      rows: [
        ratioRow('chunks/s, times bare http-proxy', speeds('broker'), speeds('http-proxy'), { least: LEAST }),
        ratioRow('first chunk, times bare http-proxy', firsts('broker'), firsts('http-proxy'), { most: 1 }),
        ...compared,
        // Reading throws at the first stream that differs by a byte.
        { what: 'streams that are not byte-exact', figure: '0', required: '0', reached: true },
      ],
      notes: [
        ...flood
          .names()
          .map((name) =>
            [
              `${name}: ${Math.round(flood.median(name, (result) => result.chunksPerSecond))} chunks/s`,
              `first chunk after ${flood.median(name, (result) => result.firstChunkMs).toFixed(1)} ms`,
              `chunk by chunk ${Math.round(single.median(name, (result) => result.chunksPerSecond))}/s`,
              ...(name === 'direct'
                ? []
                : [`at ${single.median(name, (result) => result.cpuMicros).toFixed(1)} µs of CPU each`]),
            ].join(', '),
          ),
        `chunk by chunk, times bare http-proxy: ${median(pairwise(single.all('broker', perSecond), single.all('http-proxy', perSecond))).toFixed(2)}`,
      ],
    }
  },
}

async function measureFlood(lab: Lab): Promise<{ flood: Rounds<SseResult>; compared: Row[] }> {
  const peers = await peersOf(lab, await startSseUpstream())
  for (const peer of peers) await readFlood(peer, FLOOD)
  const flood = await inRounds(lab, 'P2 flood', peers, (peer) => readFlood(peer, FLOOD), brief)
  const compared = await besideBefore(lab, 'P2 flood', peers, {
    what: 'chunk',
    measure: (peer) => readFlood(peer, LONG_FLOOD),
    perSecond: ({ chunksPerSecond }) => chunksPerSecond,
    cpuMicros: ({ cpuMicros }) => cpuMicros,
  })
  return { flood, compared }
}

async function measureChunkByChunk(lab: Lab): Promise<Rounds<PricedResult>> {
  const upstream = await startScript('sse-ping-pong', {})
  const peers = await peersOf(lab, originOf(upstream))
  const size = { streams: STREAMS, chunks: CHUNKS }
  for (let i = 0; i < WARM_UPS; i += 1) {
    for (const peer of peers) await pingPong(upstream, peer, size)
  }
  return inRounds(lab, 'P2 chunk by chunk', peers, (peer) => pingPong(upstream, peer, size), brief)
}

async function peersOf(lab: Lab, upstream: string): Promise<Peer[]> {
  return [
    direct(upstream),
    ...(lab.hasNginx ? [await nginxProxy(lab, upstream)] : []),
    await broker(lab, upstream),
    await bareProxy(upstream),
    ...(await before(lab, upstream)),
  ]
}

function brief({ chunksPerSecond }: SseResult): string {
  return `${Math.round(chunksPerSecond)}/s`
}
