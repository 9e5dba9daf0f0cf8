/**
 * One server-sent stream from both ends: the frames that are written, and the reader that checks every byte.
 *
 * It reads through the project's own pool, for all peers alike: what the reader spends the peers do not get, and
 * this one spends the least.
 */
import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Head } from '../../../src/upstream/call.ts'
import type { UpstreamPool } from '../../../src/upstream/pool.ts'
import { CALL_PATH, QUESTION, SSE_CHUNK_BYTES, sseChunk } from '../messages.ts'

/** Writes to the socket below node:http, which would cost more than the peers do. */
export class StreamWriter {
  readonly response: ServerResponse
  readonly #socket: Socket
  readonly #frames: readonly Buffer[]
  #next = 0

  constructor(response: ServerResponse, stream: number, chunks: number) {
    this.response = response
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no', // nginx would collect the chunks
    })
    response.flushHeaders()
    this.#socket = response.socket as Socket
    this.#frames = framesOf(stream, chunks)
  }

  /** All chunks in one write: each framed by itself, as a server writes them that has them at once. */
  writeAll(): void {
    this.#socket.write(Buffer.concat(this.#frames))
    this.response.end()
  }

  /** One chunk in a write of its own. @returns false at the end of the stream */
  writeNext(): boolean {
    const frame = this.#frames[this.#next]
    this.#next += 1
    if (frame) this.#socket.write(frame)
    else this.response.end()
    return frame !== undefined
  }
}

const known = new Map<string, Buffer[]>()

/** Chunks with their HTTP/1.1 framing, made once. */
function framesOf(stream: number, chunks: number): readonly Buffer[] {
  const name = `${stream}/${chunks}`
  const size = SSE_CHUNK_BYTES.toString(16)
  const frames =
    known.get(name) ??
    Array.from({ length: chunks }, (_, index) => Buffer.from(`${size}\r\n${sseChunk(stream, index)}\r\n`))
  known.set(name, frames)
  return frames
}

export interface StreamOrder {
  readonly stream: number
  readonly chunks: number
  readonly pauseMs: number
  readonly headers: Readonly<Record<string, string>>
}

export interface ReadStream {
  readonly firstChunkMs: number
  /** What was wrong; undefined if every byte is the one that was sent. */
  readonly problem: string | undefined
}

/** @param onChunk called with the bytes so far */
export function readStream(
  pool: UpstreamPool,
  origin: string,
  { stream, chunks, pauseMs, headers }: StreamOrder,
  onChunk: (bytes: number) => void,
): Promise<ReadStream> {
  const { promise, resolve } = Promise.withResolvers<ReadStream>()
  const hash = createHash('sha256')
  const startedAt = performance.now()
  let firstChunkMs = Number.POSITIVE_INFINITY
  let bytes = 0
  const end = (problem: string | undefined) =>
    resolve({ firstChunkMs, problem: problem && `stream ${stream}: ${problem}` })
  const call = pool.send({
    origin,
    path: `${CALL_PATH}?stream=${stream}&chunks=${chunks}&pause=${pauseMs}`,
    method: 'POST',
    headers: Object.entries({ 'content-type': 'application/json', ...headers }).flat(),
    body: Buffer.from(QUESTION),
  })
  const read = ({ status }: Head) =>
    call.pipeTo({
      chunk(piece) {
        if (bytes === 0) firstChunkMs = performance.now() - startedAt
        bytes += piece.length
        hash.update(piece)
        onChunk(bytes)
        return true
      },
      end() {
        if (status !== 200) end(`status ${status}`)
        else if (hash.digest('hex') === digestOf(stream, chunks)) end(undefined)
        else end(`${bytes} bytes, other than the ${chunks * SSE_CHUNK_BYTES} that were sent`)
      },
      fail: ({ detail }) => end(detail),
    })
  call.head.then(read, (error: Error) => end(error.message))
  return promise
}

const digests = new Map<string, string>()

function digestOf(stream: number, chunks: number): string {
  const name = `${stream}/${chunks}`
  const digest = digests.get(name) ?? digestFor(stream, chunks)
  digests.set(name, digest)
  return digest
}

function digestFor(stream: number, chunks: number): string {
  const hash = createHash('sha256')
  for (let index = 0; index < chunks; index += 1) hash.update(sseChunk(stream, index))
  return hash.digest('hex')
}
