/**
 * WebSocket frames (RFC 6455 §5) as they pass: where each begins and ends, and what data messages say.
 *
 * Changes nothing and keeps nothing but a frame's head. No extensions: none are agreed on, so that what is inside is
 * what was said.
 */
import { randomBytes } from 'node:crypto'

/** A frame that must not pass. @param code for the close frame (RFC 6455 §7.4.1) */
export class FrameError extends Error {
  override readonly name = 'FrameError'
  readonly code: number

  constructor(code: number, reason: string) {
    super(reason)
    this.code = code
  }
}

export interface FrameSink {
  /** A piece of a data message, unmasked; whether anybody looks at it. */
  readonly wantsMore: boolean
  onData(text: string): void
  onMessageEnd(): void
}

const MAX_FRAME_BYTES = 16 * 1024 * 1024
const MAX_CONTROL_BYTES = 125
const MAX_REASON_BYTES = 123
const MAX_HEAD_BYTES = 14
const CLOSE = 8
const KNOWN: ReadonlySet<number> = new Set([0, 1, 2, CLOSE, 9, 10])

export class FrameReader {
  readonly #isMasked: boolean
  readonly #sink: FrameSink
  readonly #head = Buffer.alloc(MAX_HEAD_BYTES)
  #headBytes = 0
  /** Of the payload of the frame under way. */
  #bytesLeft = 0
  #payloadAt = 0
  #opcode = 0
  #isFinal = false
  #mask: Buffer | undefined
  /** A close frame has passed. */
  hasClosed = false

  /** @param isMasked as all frames of clients are, and none of servers */
  constructor(isMasked: boolean, sink: FrameSink) {
    this.#isMasked = isMasked
    this.#sink = sink
  }

  get isBetweenFrames(): boolean {
    return this.#headBytes === 0
  }

  /**
   * @param stopsBetween at the first end of a frame
   * @returns how many bytes were read: all, unless it has stopped
   * @throws FrameError
   */
  push(bytes: Buffer, stopsBetween = false): number {
    let at = 0
    while (at < bytes.length) {
      if (this.#headBytes === 0 || this.#headBytes < this.#headLength) {
        this.#head[this.#headBytes] = bytes[at] as number
        this.#headBytes += 1
        at += 1
        if (this.#headBytes < this.#headLength) continue
        this.#beginFrame()
      } else {
        const end = Math.min(at + this.#bytesLeft, bytes.length)
        this.#readPayload(bytes.subarray(at, end))
        at = end
      }
      if (this.#bytesLeft > 0) continue
      this.#endFrame()
      if (stopsBetween) break
    }
    return at
  }

  /** As far as it is known by now. */
  get #headLength(): number {
    if (this.#headBytes < 2) return 2
    const length = (this.#head[1] as number) & 0x7f
    return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + (this.#isMasked ? 4 : 0)
  }

  #beginFrame(): void {
    const [first = 0, second = 0] = this.#head
    this.#opcode = first & 0x0f
    this.#isFinal = first >= 0x80
    if ((first & 0x70) !== 0 || !KNOWN.has(this.#opcode))
      throw new FrameError(1002, 'a frame of an unknown kind')
    if (second >= 0x80 !== this.#isMasked)
      throw new FrameError(1002, 'a frame is masked, or not, as it must not be')
    const short = second & 0x7f
    const length =
      short === 126
        ? this.#head.readUInt16BE(2)
        : short === 127
          ? Number(this.#head.readBigUInt64BE(2))
          : short
    if (this.#opcode >= CLOSE && (length > MAX_CONTROL_BYTES || !this.#isFinal))
      throw new FrameError(1002, 'a control frame is too long')
    if (length > MAX_FRAME_BYTES)
      throw new FrameError(1009, `a frame is longer than ${MAX_FRAME_BYTES} bytes`)
    this.#bytesLeft = length
    this.#payloadAt = 0
    const headEnd = this.#headLength
    this.#mask = this.#isMasked ? this.#head.subarray(headEnd - 4, headEnd) : undefined
  }

  #readPayload(piece: Buffer): void {
    if (this.#opcode < CLOSE && this.#sink.wantsMore)
      this.#sink.onData(this.#unmasked(piece).toString('latin1'))
    this.#bytesLeft -= piece.length
    this.#payloadAt += piece.length
  }

  #unmasked(piece: Buffer): Buffer {
    if (!this.#mask) return piece
    const plain = Buffer.allocUnsafe(piece.length)
    for (let i = 0; i < piece.length; i += 1)
      plain[i] = (piece[i] as number) ^ (this.#mask[(this.#payloadAt + i) & 3] as number)
    return plain
  }

  #endFrame(): void {
    this.#headBytes = 0
    if (this.#opcode === CLOSE) this.hasClosed = true
    if (this.#opcode < CLOSE && this.#isFinal) this.#sink.onMessageEnd()
  }
}

const TEXT = 1
const MAX_SHORT_BYTES = 125

/** For a client to read. @param text of at most 64 KiB */
export function textFrame(text: string): Buffer {
  const payload = Buffer.from(text)
  const isShort = payload.length <= MAX_SHORT_BYTES
  const head = Buffer.from(isShort ? [0x80 | TEXT, payload.length] : [0x80 | TEXT, 126, 0, 0])
  if (!isShort) head.writeUInt16BE(payload.length, 2)
  return Buffer.concat([head, payload])
}

/** @param isMasked for a server to read */
export function closeFrame(code: number, reason: string, isMasked: boolean): Buffer {
  const room = Buffer.alloc(2 + MAX_REASON_BYTES)
  room.writeUInt16BE(code)
  const payload = room.subarray(0, 2 + room.write(reason, 2)) // whole characters only
  if (!isMasked) return Buffer.concat([Buffer.from([0x80 | CLOSE, payload.length]), payload])
  const mask = randomBytes(4)
  const masked = payload.map((byte, i) => byte ^ (mask[i & 3] as number))
  return Buffer.concat([Buffer.from([0x80 | CLOSE, 0x80 | payload.length]), mask, masked])
}
