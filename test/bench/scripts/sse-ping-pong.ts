/**
 * Upstream and client of the same streams in one process: a stream's next chunk is sent when the last one has
 * arrived, so that no two of them can melt into one on the way. Then every chunk costs a peer its full price.
 */
import { createServer } from 'node:http'
import { UpstreamPool } from '../../../src/upstream/pool.ts'
import { SSE_CHUNK_BYTES } from '../messages.ts'
import { serve, tell } from './parent.ts'
import type { SseResult } from './sse-client.ts'
import { readStream, StreamWriter } from './sse-stream.ts'

export interface PingPongOrder {
  readonly origin: string
  readonly headers: Readonly<Record<string, string>>
  readonly streams: number
  readonly chunks: number
}

const writers = new Map<number, StreamWriter>()

serve(
  createServer((request, response) => {
    request.resume()
    const query = new URLSearchParams(request.url?.split('?')[1])
    const writer = new StreamWriter(response, Number(query.get('stream')), Number(query.get('chunks')))
    writers.set(Number(query.get('stream')), writer)
    writer.writeNext()
  }),
)

process.on('message', async ({ origin, headers, streams, chunks }: PingPongOrder) => {
  const pool = new UpstreamPool()
  const startedAt = performance.now()
  const results = await Promise.all(
    Array.from({ length: streams }, (_, stream) =>
      readStream(pool, origin, { stream, chunks, pauseMs: 0, headers }, (bytes) => {
        if (bytes % SSE_CHUNK_BYTES === 0) writers.get(stream)?.writeNext()
      }),
    ),
  )
  const seconds = (performance.now() - startedAt) / 1000
  pool.destroy()
  const problems = results.flatMap(({ problem }) => problem ?? [])
  const result: SseResult = {
    chunksPerSecond: (streams * chunks) / seconds,
    firstChunkMs: Number.NaN,
    broken: problems.length,
    problems: problems.slice(0, 3),
  }
  tell({ type: 'result', result })
})
