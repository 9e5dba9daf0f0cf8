/**
 * Passes an answer on: bytes unchanged, chunk by chunk, in the tick they arrive, no faster than the client reads.
 * An answer that is there as a whole goes out at the end of that turn, with all others that are.
 *
 * An answer that upstream breaks off is cut, so that its end is never mistaken for the real one; a stream after an
 * explicit `error` event.
 */
import type { ServerResponse } from 'node:http'
import { BrokerError } from '../base/errors.ts'
import { atEndOfTurn } from '../base/turn.ts'
import { chunkHead, LAST_CHUNK } from '../http1/chunk.ts'
import { type HeaderList, headerValue } from '../http1/header-list.ts'
import type { Head, Sink, UpstreamCall } from '../upstream/call.ts'
import type { TokenReader } from '../usage/token-reader.ts'
import { type Asked, errorEvent } from './api-error.ts'
import { type Gate, HeldSink } from './held-sink.ts'
import { KeepAlive } from './keep-alive.ts'

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

export interface Companions {
  /** Whose API it is decides how a broken stream says so. */
  readonly asked: Asked
  /** Is shown every byte. */
  readonly reader: TokenReader | undefined
  /** After so much silence an event stream gets a comment. */
  readonly keepAliveMs: number | undefined
  /** What an answer has to pass before it goes on. */
  readonly gate: Gate | undefined
  /** Called once, when the last byte is handed to the socket or upstream broke off. */
  done(failure: BrokerError | undefined, hasLeft: boolean): void
}

export function relay(call: UpstreamCall, head: Head, client: ServerResponse, companions: Companions): void {
  const whole = companions.gate ? undefined : call.takeWhole()
  if (whole) return void relayWhole(whole, client, companions.reader, companions.done)
  // One listener for all pauses: of the chunks that had arrived before, each may be one too many.
  client.on('drain', () => call.resume())
  const stream = new Stream(client, head, companions)
  call.pipeTo(companions.gate ? new HeldSink(stream, companions.gate, () => call.resume()) : stream)
  // The head goes out at once even if the first chunk takes its time; `headersSent` is true from writeHead on.
  if (!call.isEnded && !stream.isHeadOut) client.flushHeaders()
}

/** An answer that comes in pieces. It may take long, and there may be many: of its head only this is kept. */
class Stream implements Sink {
  isHeadOut = false
  readonly #client: ServerResponse
  readonly #isFramed: boolean
  readonly #isEvents: boolean
  /** Closing the connection is the only end that it has. */
  readonly #endsByClosing: boolean
  readonly #keepAlive: KeepAlive | undefined
  readonly #companions: Companions

  constructor(client: ServerResponse, head: Head, companions: Companions) {
    this.#client = client
    this.#isFramed = takeOverFraming(client)
    this.#isEvents = isPlainEventStream(head)
    this.#endsByClosing = !this.#isFramed && headerValue(head.headers, 'content-length') === undefined
    this.#keepAlive = this.#isEvents ? keepAlive(client, this.#isFramed, companions.keepAliveMs) : undefined
    this.#companions = companions
  }

  chunk(bytes: Buffer): boolean {
    this.isHeadOut = true
    this.#keepAlive?.saw(bytes)
    // Once the client has left, nothing would resume the call.
    return write(this.#client, this.#isFramed, bytes, this.#companions.reader) || this.#client.destroyed
  }

  end(): void {
    this.#keepAlive?.stop()
    this.#client.end(this.#isFramed ? LAST_CHUNK : undefined)
    this.#companions.done(undefined, false)
  }

  fail(error: BrokerError): void {
    this.#keepAlive?.stop()
    const hasLeft = this.#client.destroyed
    const hasSaid = this.#isEvents && !hasLeft
    if (hasSaid) {
      const event = Buffer.from(errorEvent(error, this.#companions.asked))
      write(this.#client, this.#isFramed, event, undefined)
    }
    cut(this.#client, this.#endsByClosing, hasSaid)
    this.#companions.done(error, hasLeft)
  }
}

function keepAlive(
  client: ServerResponse,
  isFramed: boolean,
  everyMs: number | undefined,
): KeepAlive | undefined {
  if (everyMs === undefined) return undefined
  return new KeepAlive(everyMs, (comment) => {
    if (!client.writableNeedDrain) write(client, isFramed, comment, undefined)
  })
}

/** A cut overtakes what the client has not read yet, and so waits a little where something was said. */
const CUT_AFTER_MS = 500

/**
 * Ends the connection behind what was written, and not as a whole answer ends: without the last chunk, or before the
 * length that was told. Where closing is the end (RFC 9112 §6.3: HTTP/1.0, which nginx speaks unless it is told
 * otherwise) there is no word for it but a reset.
 */
function cut({ socket }: ServerResponse, endsByClosing: boolean, hasSaid: boolean): void {
  const end = () => (endsByClosing ? socket?.resetAndDestroy() : socket?.destroySoon())
  const timer = setTimeout(end, endsByClosing || hasSaid ? CUT_AFTER_MS : 0)
  socket?.once('close', () => clearTimeout(timer))
}

/** As latin1 text every byte stays itself, and Node puts head and body into one buffer and one system call. */
function relayWhole(
  bytes: Buffer,
  client: ServerResponse,
  reader: TokenReader | undefined,
  done: Companions['done'],
): void {
  const text = bytes.toString('latin1')
  reader?.push(text)
  atEndOfTurn(() => {
    client.end(text, 'latin1')
    done(undefined, false)
  })
}

/** More is cheaper to copy as it is than to make text of. */
const MAX_TEXT_BYTES = 16 * 1024

/**
 * Whether chunks are framed here from now on (chunked coding, RFC 9112 §7.1). Node makes four writes of a chunk and
 * gathers them; a small chunk is one piece of text here, in which as latin1 every byte stays itself.
 */
function takeOverFraming(client: ServerResponse): boolean {
  const isChunked = client.chunkedEncoding
  client.chunkedEncoding = false
  return isChunked
}

/**
 * @param bytes lent, and so copied: small ones as text, which is one write with their frame
 * @returns whether the client takes more
 */
function write(
  client: ServerResponse,
  isFramed: boolean,
  bytes: Buffer,
  reader: TokenReader | undefined,
): boolean {
  if (bytes.length === 0) return true // framed, it would be the last one
  if (bytes.length <= MAX_TEXT_BYTES) {
    const text = bytes.toString('latin1')
    reader?.push(text)
    return client.write(isFramed ? `${chunkHead(bytes.length)}${text}\r\n` : text, 'latin1')
  }
  if (reader?.isReading) reader.push(bytes.toString('latin1'))
  if (isFramed) client.write(chunkHead(bytes.length), 'latin1')
  const takesMore = client.write(Buffer.from(bytes))
  return isFramed ? client.write('\r\n', 'latin1') : takesMore
}

/** Nothing can be added to a compressed stream, nor to one whose length was told. */
function isPlainEventStream({ headers }: Head): boolean {
  return (
    headerValue(headers, 'content-encoding') === undefined &&
    headerValue(headers, 'content-length') === undefined &&
    isEventStream(headerValue(headers, 'content-type'))
  )
}

export function isEventStream(contentType: string | undefined): boolean {
  return contentType !== undefined && /^text\/event-stream(?:$|[\t ;])/i.test(contentType)
}
