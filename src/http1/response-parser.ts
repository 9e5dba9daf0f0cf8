/**
 * Answers of HTTP/1.1 (RFC 9112) out of bytes as they arrive, one after the other on a connection.
 *
 * Strict, because a connection serves one caller after another: whatever could be read in two ways (both kinds of
 * length, bytes nobody asked for, line ends that are none) is an error, and ends the connection. All that one read
 * brought of a body is handed on in one piece, however many chunks it was sent in.
 */
import type { HeaderList } from './header-list.ts'
import {
  MAX_HEAD_BYTES,
  MalformedResponse,
  parseHead,
  type ResponseHead,
  TEXT,
  TOKEN,
} from './response-head.ts'

/** Who is told what was read. */
export interface ResponseSink {
  /** Once an answer, 1xx left out. @param headers names in lower case, in upstream's order */
  onHead(status: number, headers: HeaderList): void
  /** @param bytes lent: they change once this returns */
  onData(bytes: Buffer): void
  onEnd(): void
}

/** 2^52 - 1 bytes. */
const MAX_SIZE_DIGITS = 13

type State =
  | 'idle'
  | 'head'
  | 'sized'
  | 'until close'
  | 'switched'
  | 'chunk size'
  | 'chunk'
  | 'chunk end'
  | 'trailers'

export class ResponseParser {
  readonly #sink: ResponseSink
  #state: State = 'idle'
  #method = ''
  #maySwitch = false
  /** Of the body ('sized') or of the chunk. */
  #bytesLeft = 0
  #trailerBytes = 0
  /** What came of a line that is not whole yet. */
  #begun: Buffer | undefined
  /** Whether another request may follow on this connection. */
  keepsAlive = true
  /** Seconds for which upstream says it keeps an idle connection, if it says so. */
  keepAliveSeconds: number | undefined

  constructor(sink: ResponseSink) {
    this.#sink = sink
  }

  /**
   * An answer to this method is awaited now.
   * @param maySwitch to another protocol: then 101 is an answer, and its body is whatever follows
   */
  expect(method: string, maySwitch = false): void {
    this.#method = method
    this.#maySwitch = maySwitch
    this.#state = 'head'
    this.keepsAlive = true
    this.keepAliveSeconds = undefined
  }

  /** @throws MalformedResponse */
  push(arrived: Buffer): void {
    const bytes = this.#begun ? Buffer.concat([this.#begun, arrived]) : arrived
    this.#begun = undefined
    let at = 0
    while (at < bytes.length) {
      switch (this.#state) {
        case 'idle':
          throw new MalformedResponse('bytes nobody asked for')
        case 'head':
          at = this.#readHead(bytes, at)
          break
        case 'sized':
          at = this.#readSized(bytes, at)
          break
        case 'until close':
        case 'switched':
          this.#sink.onData(at === 0 ? bytes : bytes.subarray(at))
          return
        default:
          at = this.#readChunks(bytes, at)
      }
    }
  }

  /** Upstream ended the connection, and with it an answer that had no other end. */
  finish(): void {
    if (this.#state === 'until close') this.#end()
  }

  #readHead(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(HEAD_END, at)
    if ((end === -1 ? bytes.length : end) - at > MAX_HEAD_BYTES)
      throw new MalformedResponse('its head is too long')
    if (end === -1) return this.#keep(bytes, at)
    const head = parseHead(bytes.toString('latin1', at, end + 2))
    const { status, headers, length, isChunked } = head
    if (head.keepAliveSeconds !== undefined) this.keepAliveSeconds = head.keepAliveSeconds
    if (status === 101) this.#switch(head)
    if (status < 200) return end + 4

    const hasBody = this.#method !== 'HEAD' && status !== 204 && status !== 304
    const mayHaveOne = !hasBody && this.#method !== 'HEAD' && (isChunked || length) // a body may follow after all
    this.keepsAlive = head.keepsAlive && !mayHaveOne
    this.#sink.onHead(status, headers)
    if (!hasBody || length === 0) this.#end()
    else if (isChunked) this.#state = 'chunk size'
    else if (length !== undefined) {
      this.#bytesLeft = length
      this.#state = 'sized'
    } else {
      this.keepsAlive = false
      this.#state = 'until close'
    }
    return end + 4
  }

  #switch({ status, headers, length, isChunked }: ResponseHead): void {
    if (!this.#maySwitch || isChunked || length !== undefined)
      throw new MalformedResponse('it is out of place')
    this.#state = 'switched'
    this.keepsAlive = false
    this.#sink.onHead(status, headers)
  }

  #readSized(bytes: Buffer, at: number): number {
    const end = Math.min(at + this.#bytesLeft, bytes.length)
    this.#bytesLeft -= end - at
    this.#sink.onData(bytes.subarray(at, end))
    if (this.#bytesLeft === 0) this.#end()
    return end
  }

  /** Moves what the chunks hold together, in place: it becomes shorter by their frames. */
  #readChunks(bytes: Buffer, at: number): number {
    let from = at
    let dataStart = -1
    let dataEnd = -1
    let isOver = false
    try {
      while (from < bytes.length && !isOver) {
        if (this.#state === 'chunk') {
          const end = Math.min(from + this.#bytesLeft, bytes.length)
          if (dataStart === -1) dataStart = dataEnd = from
          if (dataEnd !== from) bytes.copyWithin(dataEnd, from, end)
          dataEnd += end - from
          this.#bytesLeft -= end - from
          from = end
          if (this.#bytesLeft === 0) this.#state = 'chunk end'
          continue
        }
        const next = this.#readPlainFrame(bytes, from)
        if (next > from) {
          from = next
          continue
        }
        const lineEnd = bytes.indexOf(CRLF, from)
        if (lineEnd === -1) {
          if (bytes.length - from > MAX_HEAD_BYTES) throw new MalformedResponse('a line without end')
          from = this.#keep(bytes, from)
          break
        }
        if (this.#state === 'trailers') isOver = this.#readTrailer(bytes, from, lineEnd)
        else if (this.#state === 'chunk size') this.#readSize(bytes, from, lineEnd)
        else if (lineEnd === from) this.#state = 'chunk size'
        else throw new MalformedResponse('a chunk is longer than it says')
        from = lineEnd + 2
      }
    } finally {
      // Also what was whole before something that is malformed.
      if (dataStart !== -1) this.#sink.onData(bytes.subarray(dataStart, dataEnd))
    }
    if (isOver) this.#end()
    return from
  }

  /** A chunk's end, or a size without extensions, as nearly all are. @returns where it ends, or `from` if it is none */
  #readPlainFrame(bytes: Buffer, from: number): number {
    if (this.#state === 'chunk end' && bytes[from] === CR && bytes[from + 1] === LF) {
      this.#state = 'chunk size'
      return from + 2
    }
    if (this.#state !== 'chunk size') return from
    let size = 0
    let at = from
    for (; digitAt(bytes, at) !== NO_DIGIT; at += 1) size = size * 16 + digitAt(bytes, at)
    if (at === from || at - from > MAX_SIZE_DIGITS || bytes[at] !== CR || bytes[at + 1] !== LF) return from
    this.#beginChunk(size)
    return at + 2
  }

  #readSize(bytes: Buffer, from: number, to: number): void {
    const digits = SIZE_LINE.exec(bytes.toString('latin1', from, to))?.[1]
    if (digits === undefined) throw new MalformedResponse('a chunk without a size')
    this.#beginChunk(Number.parseInt(digits, 16))
  }

  #beginChunk(size: number): void {
    this.#bytesLeft = size
    this.#trailerBytes = 0
    this.#state = size === 0 ? 'trailers' : 'chunk'
  }

  /** Trailers are read and dropped. @returns whether that was the empty line behind them */
  #readTrailer(bytes: Buffer, from: number, to: number): boolean {
    if (from === to) return true
    this.#trailerBytes += to - from
    if (this.#trailerBytes > MAX_HEAD_BYTES || !TRAILER.test(bytes.toString('latin1', from, to)))
      throw new MalformedResponse('its trailers are not HTTP/1.1')
    return false
  }

  /** @returns the end of the bytes: all are dealt with for now */
  #keep(bytes: Buffer, from: number): number {
    this.#begun = Buffer.from(bytes.subarray(from))
    return bytes.length
  }

  #end(): void {
    this.#state = 'idle'
    this.#sink.onEnd()
  }
}

const CRLF = Buffer.from('\r\n')
const HEAD_END = Buffer.from('\r\n\r\n')
/** How long a body was cannot be said behind it (RFC 9110 §6.5.1). */
const TRAILER = new RegExp(`^(?!(?:content-length|transfer-encoding):)${TOKEN}:${TEXT}$`, 'i')
const SIZE_LINE = new RegExp(
  `^([0-9A-Fa-f]{1,${MAX_SIZE_DIGITS}})(?:;${TOKEN}(?:=(?:${TOKEN}|"[\\t !#-[\\]-~\\x80-\\xff]*"))?)*$`,
)
const CR = 0x0d
const LF = 0x0a
/** What a byte is worth as a hexadecimal digit. */
const NO_DIGIT = 0xff
const DIGITS = new Uint8Array(256).map((_, byte) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCharCode(byte).toLowerCase())
  return digit === -1 ? NO_DIGIT : digit
})
function digitAt(bytes: Buffer, at: number): number {
  return DIGITS[bytes[at] ?? 0] ?? NO_DIGIT
}
