/**
 * Opens many streams at once and reads them to their end, several times over.
 */
import { UpstreamPool } from '../../../src/upstream/pool.ts'
import { median, percentile } from '../statistics.ts'
import { finish, options, tell } from './parent.ts'
import { readStream } from './sse-stream.ts'

export interface SseClientOptions {
  readonly origin: string
  readonly headers: Readonly<Record<string, string>>
  readonly streams: number
  readonly chunks: number
  readonly pauseMs: number
  /** How often to open them all. The first time warms up and is not counted, unless it is the only one. */
  readonly passes: number
}

export interface SseResult {
  readonly chunksPerSecond: number
  /** Median over streams of the time from the call to its first chunk. */
  readonly firstChunkMs: number
  /** Streams that failed or whose bytes were not those sent. */
  readonly broken: number
  readonly problems: readonly string[]
}

const given = options<SseClientOptions>()
const { origin, streams, chunks, pauseMs, headers } = given
const pool = new UpstreamPool()
const problems: string[] = []
const passes: { perSecond: number; firstChunkMs: number }[] = []
for (let pass = 0; pass < given.passes; pass += 1) passes.push(await readAll())
const counted = passes.length > 1 ? passes.slice(1) : passes
finish({
  chunksPerSecond: median(counted.map((pass) => pass.perSecond)),
  firstChunkMs: median(counted.map((pass) => pass.firstChunkMs)),
  broken: problems.length,
  problems: problems.slice(0, 3),
} satisfies SseResult)

async function readAll(): Promise<{ perSecond: number; firstChunkMs: number }> {
  const startedAt = performance.now()
  let open = 0
  const reads = Array.from({ length: streams }, (_, stream) => {
    let isOpen = false
    return readStream(pool, origin, { stream, chunks, pauseMs, headers }, () => {
      if (isOpen) return
      isOpen = true
      open += 1
      if (open === streams) tell({ type: 'event', name: 'open' })
    })
  })
  const results = await Promise.all(reads)
  const seconds = (performance.now() - startedAt) / 1000
  problems.push(...results.flatMap(({ problem }) => problem ?? []))
  const firsts = Float64Array.from(results, ({ firstChunkMs }) => firstChunkMs).sort()
  return { perSecond: (streams * chunks) / seconds, firstChunkMs: percentile(firsts, 0.5) }
}
