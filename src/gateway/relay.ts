/**
 * Passes an answer on: bytes unchanged, chunk by chunk, in the tick they arrive, no faster than the client reads.
 *
 * A stream that upstream breaks off ends with an explicit `error` event; any other answer is cut, so that its
 * end is never mistaken for the real one.
 */
import type { ServerResponse } from 'node:http'
import { BrokerError } from '../base/errors.ts'
import type { HeaderList } from '../upstream/headers.ts'
import type { Head, UpstreamCall } from '../upstream/send.ts'
import { errorEvent } from './openai-error.ts'

/** Before {@link relay}. @throws BrokerError upstream_broken if Node would not send such a head on */
export function relayHead(
  call: UpstreamCall,
  { status }: Head,
  headers: HeaderList,
  client: ServerResponse,
): void {
  try {
    client.writeHead(status, headers)
  } catch (cause) {
    call.cancel()
    throw new BrokerError('upstream_broken', { cause, detail: 'its head cannot be passed on' })
  }
}

/**
 * @param tail is shown every chunk
 * @param done called once, when the last byte is handed to the socket or upstream broke off
 */
export function relay(
  call: UpstreamCall,
  head: Head,
  client: ServerResponse,
  tail: { push(bytes: Buffer): void } | undefined,
  done: (failure: BrokerError | undefined, hasLeft: boolean) => void,
): void {
  const whole = call.takeWhole()
  if (whole) {
    tail?.push(whole)
    // As latin1 text every byte stays itself, and Node puts head and body into one buffer and one system call.
    client.end(whole.toString('latin1'), 'latin1')
    done(undefined, false)
    return
  }
  // One listener for all pauses: of the chunks that had arrived before, each may be one too many.
  client.on('drain', () => call.resume())
  const isFramed = takeOverFraming(client)
  let isHeadOut = false
  call.pipeTo({
    chunk(bytes) {
      isHeadOut = true
      tail?.push(bytes)
      return isFramed ? writeFrame(client, bytes) : client.write(bytes)
    },
    end() {
      client.end(isFramed ? LAST_FRAME : undefined)
      done(undefined, false)
    },
    fail(error) {
      const hasLeft = client.destroyed
      if (isPlainEventStream(head)) {
        if (isFramed) writeFrame(client, Buffer.from(errorEvent(error)))
        client.end(isFramed ? LAST_FRAME : errorEvent(error))
      } else client.destroy()
      done(error, hasLeft)
    },
  })
  // The head goes out at once even if the first chunk takes its time; `headersSent` is true from writeHead on.
  if (!call.isEnded && !isHeadOut) client.flushHeaders()
}

const LAST_FRAME = '0\r\n\r\n'
/** A larger chunk is cheaper to hand on as it is than to copy. */
const MAX_COPIED_BYTES = 4_096

/**
 * Whether chunks are framed here from now on (chunked coding, RFC 9112 §7.1). Node makes four writes of a chunk and
 * gathers them; a small chunk is one piece of text here, in which as latin1 every byte stays itself.
 */
function takeOverFraming(client: ServerResponse): boolean {
  const isChunked = client.chunkedEncoding
  client.chunkedEncoding = false
  return isChunked
}

/** @returns whether the client takes more */
function writeFrame(client: ServerResponse, bytes: Buffer): boolean {
  if (bytes.length === 0) return true // would be the last one
  const size = bytes.length.toString(16)
  if (bytes.length <= MAX_COPIED_BYTES) {
    return client.write(`${size}\r\n${bytes.toString('latin1')}\r\n`, 'latin1')
  }
  client.write(`${size}\r\n`, 'latin1')
  client.write(bytes)
  return client.write('\r\n', 'latin1')
}

/** Nothing can be added to a compressed stream. */
function isPlainEventStream({ headers }: Head): boolean {
  return (
    headers['content-encoding'] === undefined &&
    String(headers['content-type']).startsWith('text/event-stream')
  )
}
