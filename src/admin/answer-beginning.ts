/**
 * The beginning of an answer to one of our own questions. Whoever was asked may answer without end.
 */
import type { Readable } from 'node:stream'

/** More of an answer than most of them need. */
const MAX_ANSWER_BYTES = 64 * 1024

/** At most so many bytes of it, as text; what comes behind them is not read, and its connection is closed. */
export async function beginningOf(body: Readable, maxBytes = MAX_ANSWER_BYTES): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    chunks.push(chunk as Buffer)
    size += (chunk as Buffer).length
    if (size >= maxBytes) break // which destroys the stream
  }
  return Buffer.concat(chunks).subarray(0, maxBytes).toString('utf8')
}
