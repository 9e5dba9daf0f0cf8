/**
 * Two sockets that have switched to WebSocket frames, joined: what one says the other hears, no faster than it
 * listens, byte for byte. Either may end it; so may we, with a close frame of our own between two of theirs.
 */
import type { Socket } from 'node:net'
import { SECOND } from '../base/clock.ts'
import { closeFrame, FrameError, FrameReader, type FrameSink } from './frames.ts'

/** How it ended: by whom, and with what code where that was us. */
export interface Ending {
  readonly by: 'client' | 'upstream' | 'broker'
  readonly code?: number
  readonly reason?: string
}

export interface Watch {
  /** Of what each side says. May throw a FrameError, and what it was shown does not pass. */
  readonly fromClient: FrameSink
  readonly fromUpstream: FrameSink
  /** What of upstream was just read waits for this, with all that comes behind it. Never rejects. */
  untilKnown(): Promise<void> | undefined
  /** Called once, when both sockets are closed. */
  ended(ending: Ending): void
}

/** After our close frame the other side has so long to hang up. */
const OUR_END_MS = 2 * SECOND
/** After theirs, or after one side is gone: what is on its way to a slow reader may arrive. */
const THEIR_END_MS = 30 * SECOND
export const TCP_KEEP_ALIVE_MS = 60 * SECOND
const GOING_AWAY = 1001
const PROTOCOL_ERROR = 1002
const BROKEN = 1011

export class JoinedSockets {
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #toUpstream: Flow
  readonly #toClient: Flow
  readonly #watch: Watch
  #ending: Ending | undefined
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  constructor(client: Socket, upstream: Socket, watch: Watch) {
    this.#client = client
    this.#upstream = upstream
    this.#watch = watch
    const fault = (by: Ending['by'], error: FrameError) =>
      this.close(by === 'upstream' && error.code === PROTOCOL_ERROR ? BROKEN : error.code, error.message)
    this.#toUpstream = new Flow(client, upstream, {
      reader: new FrameReader(true, watch.fromClient),
      untilKnown: () => undefined,
      onFault: (error) => fault('client', error),
    })
    this.#toClient = new Flow(upstream, client, {
      reader: new FrameReader(false, watch.fromUpstream),
      untilKnown: () => watch.untilKnown(),
      onFault: (error) => fault('upstream', error),
    })
  }

  /** @param early what each side has said already */
  start(early: { readonly client: Buffer; readonly upstream: Buffer }): void {
    for (const socket of [this.#client, this.#upstream]) {
      socket.setTimeout(0)
      socket.setNoDelay(true)
      socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS)
      socket.on('error', () => {}) // its close follows
      socket.on('close', () => this.#closed(socket))
    }
    this.#client.on('end', () => this.#left('client'))
    this.#upstream.on('end', () => this.#left('upstream'))
    this.#toUpstream.start(early.client)
    this.#toClient.start(early.upstream)
    // What happened before there was anybody to hear of it.
    if (this.#client.destroyed) this.#closed(this.#client)
    else if (this.#client.readableEnded) this.#left('client')
    if (this.#upstream.destroyed) this.#closed(this.#upstream)
  }

  /** Ends it for both. The client hears the code, unless it is in the middle of a frame that does not end. */
  close(code: number, reason: string): void {
    if (this.#ending) return
    this.#ending = { by: 'broker', code, reason }
    this.#toClient.endWith(closeFrame(code, reason, false))
    this.#toUpstream.endWith(closeFrame(GOING_AWAY, '', true))
    this.#cutIn(OUR_END_MS)
  }

  /** One side will say no more. */
  #left(by: 'client' | 'upstream'): void {
    const flow = by === 'client' ? this.#toUpstream : this.#toClient
    if (by === 'upstream' && !flow.hasClosed) this.close(BROKEN, 'The model endpoint broke off')
    else if (!flow.hasClosed) this.#cutIn(0)
    this.#ending ??= { by }
    flow.end()
    this.#cutIn(THEIR_END_MS)
  }

  #closed(socket: Socket): void {
    this.#left(socket === this.#client ? 'client' : 'upstream')
    const other = socket === this.#client ? this.#upstream : this.#client
    if (!other.closed) {
      other.destroySoon()
      return
    }
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#watch.ended(this.#ending ?? { by: 'broker' })
  }

  #cutIn(ms: number): void {
    if (this.#timer) return
    this.#timer = setTimeout(() => {
      this.#client.destroy()
      this.#upstream.destroy()
    }, ms)
  }
}

interface FlowParts extends Pick<Watch, 'untilKnown'> {
  readonly reader: FrameReader
  readonly onFault: (error: FrameError) => void
}

/** One way. */
class Flow {
  readonly #from: Socket
  readonly #to: Socket
  readonly #parts: FlowParts
  readonly #reader: FrameReader
  /** Of what was passed on. */
  #isBetweenFrames = true
  /** To be sent behind the frame under way. */
  #lastFrame: Buffer | undefined
  /** What waits behind a piece that does; undefined while none does. */
  #held: Buffer[] | undefined
  #isOver = false

  constructor(from: Socket, to: Socket, parts: FlowParts) {
    this.#from = from
    this.#to = to
    this.#parts = parts
    this.#reader = parts.reader
  }

  get hasClosed(): boolean {
    return this.#reader.hasClosed
  }

  start(early: Buffer): void {
    this.#to.on('drain', () => this.#held ?? this.#from.resume())
    if (early.length > 0) this.#pass(early)
    this.#from.on('data', (bytes: Buffer) => this.#pass(bytes))
    if (!this.#held && !this.#to.writableNeedDrain) this.#from.resume()
  }

  endWith(frame: Buffer): void {
    if (this.#isOver) return
    this.#lastFrame = frame
    if (this.#isBetweenFrames) this.#finish(frame)
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#to.end()
  }

  #pass(bytes: Buffer): void {
    if (this.#isOver) return
    if (this.#held) return void this.#held.push(bytes)
    let length: number
    try {
      length = this.#reader.push(bytes, this.#lastFrame !== undefined)
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.#fault(error)
      return
    }
    const read = length === bytes.length ? bytes : bytes.subarray(0, length)
    const known = this.#parts.untilKnown()
    if (!known) {
      this.#write(read)
      return
    }
    this.#held = []
    this.#isBetweenFrames = false
    this.#from.pause()
    void known.then(() => this.#release(read))
  }

  #release(read: Buffer): void {
    const held = this.#held ?? []
    this.#held = undefined
    if (this.#isOver) return
    this.#write(read)
    for (const bytes of held) this.#pass(bytes)
    if (!this.#held && !this.#to.writableNeedDrain) this.#from.resume()
  }

  #write(read: Buffer): void {
    this.#isBetweenFrames = this.#reader.isBetweenFrames
    const takesMore = this.#to.write(read)
    if (this.#lastFrame && this.#isBetweenFrames) this.#finish(this.#lastFrame)
    else if (!takesMore) this.#from.pause()
  }

  /** What was read now does not pass. In the middle of a frame there is no word but to hang up. */
  #fault(error: FrameError): void {
    const isStuck = !this.#isBetweenFrames
    if (isStuck) this.#isOver = true
    this.#parts.onFault(error)
    if (isStuck) this.#to.destroySoon()
    this.#from.resume()
  }

  #finish(frame: Buffer): void {
    this.#isOver = true
    this.#to.end(frame)
    this.#from.resume() // to hear of its end
  }
}
