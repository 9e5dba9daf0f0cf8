/**
 * The first message of a client whose handshake is accepted, before anything of it has gone upstream: at
 * `/v1/responses` nothing but that says which account is meant. Upstream's connection is kept meanwhile.
 */
import type { Socket } from 'node:net'
import { SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Accepted } from '../upstream/web-socket.ts'
import { openAiError } from './api-error.ts'
import { closeFrame, FrameError, FrameReader, textFrame } from './frames.ts'
import type { Hold } from './held-bodies.ts'
import { type Ending, TCP_KEEP_ALIVE_MS } from './joined-sockets.ts'
import { Pieces } from './pieces.ts'

/** Further on nothing is sought, and the client has to wait. */
const MAX_BYTES = 1024 * 1024
/** Of what upstream says meanwhile. */
const MAX_UPSTREAM_BYTES = 64 * 1024
/** After our close frame the client has so long to hang up. */
const OUR_END_MS = 2 * SECOND
const BROKEN = 1011

export interface Said {
  /** The message, or its beginning, as latin1; '' where there is none to be read. */
  readonly text: string
  /** All bytes so far, as they came. */
  readonly bytes: Buffer
}

export class FirstMessage {
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #hold: Hold
  readonly #result = Promise.withResolvers<Said | undefined>()
  readonly #reader: FrameReader
  readonly #pieces = new Pieces()
  #size = 0
  #upstreamSaid: Buffer[]
  #upstreamBytes = 0
  #isOver = false
  /** If it has ended before the two were joined. */
  ending: Ending | undefined = undefined

  /** @param early what the client has said already. @param hold what is held of it, for its owner to release */
  constructor(
    client: Socket,
    early: Buffer,
    { socket, first }: Pick<Accepted, 'socket' | 'first'>,
    hold: Hold,
  ) {
    this.#client = client
    this.#upstream = socket
    this.#upstreamSaid = [first]
    this.#hold = hold
    this.#reader = new FrameReader(true, {
      wantsMore: false,
      onData: () => {},
      onMessageEnd: () => this.#finish(),
    })
    for (const one of [client, socket]) one.setKeepAlive(true, TCP_KEEP_ALIVE_MS)
    socket.on('data', this.#keep).on('close', this.#finish).resume()
    client.on('data', this.#read).on('end', this.#left).on('close', this.#left)
    if (early.length > 0) this.#read(early)
    if (client.destroyed || client.readableEnded) this.#left()
    else if (socket.destroyed) this.#finish()
    else if (!this.#isOver) client.resume()
  }

  /** Undefined if it has ended: then both connections are over. */
  get said(): Promise<Said | undefined> {
    return this.#result.promise
  }

  /** The connection to go on with: that which was kept, with what upstream has said meanwhile, or another in its place. */
  upstreamOr(other: Accepted): Accepted {
    this.#upstream.off('data', this.#keep).pause()
    if (other.socket === this.#upstream) return { ...other, first: Buffer.concat(this.#upstreamSaid) }
    this.#upstream.destroy()
    return other
  }

  /** Ends both. The client hears why. */
  close(code: number, reason: string): void {
    if (this.ending) return
    this.ending = { by: 'broker', code, reason }
    this.#stop()
    this.#upstream.destroy()
    this.#client.end(closeFrame(code, reason, false))
    const timer = setTimeout(() => this.#client.destroy(), OUR_END_MS)
    this.#client.once('close', () => clearTimeout(timer)).resume()
    this.#result.resolve(undefined)
  }

  /** Nobody can answer it. */
  refuse(error: BrokerError): void {
    if (this.ending) return
    const event = { type: 'error', status: error.status, ...openAiError(error) }
    this.#client.write(textFrame(JSON.stringify(event)))
    this.close(BROKEN, error.english)
  }

  readonly #keep = (bytes: Buffer) => {
    this.#upstreamSaid.push(bytes)
    this.#upstreamBytes += bytes.length
    if (this.#upstreamBytes > MAX_UPSTREAM_BYTES) this.#upstream.pause()
  }

  readonly #read = (bytes: Buffer) => {
    this.#pieces.push(bytes)
    this.#size += bytes.length
    try {
      this.#hold.add(bytes.length)
      this.#reader.push(bytes)
    } catch (error) {
      if (error instanceof BrokerError) return this.refuse(error)
      if (!(error instanceof FrameError)) throw error
      return this.#finish() // whoever reads it next says what is wrong
    }
    if (this.#size > MAX_BYTES || this.#reader.hasClosed) this.#finish()
  }

  readonly #left = () => {
    this.ending = { by: 'client' }
    this.#stop()
    this.#upstream.destroy()
    this.#client.destroySoon()
    this.#result.resolve(undefined)
  }

  /** It has all been said, or no more of it is waited for. */
  readonly #finish = () => {
    if (this.#isOver) return
    this.#stop()
    this.#client.pause()
    const bytes = this.#pieces.whole()
    this.#result.resolve({ text: firstTextIn(bytes), bytes })
  }

  #stop(): void {
    this.#isOver = true
    this.#client.off('data', this.#read).off('end', this.#left).off('close', this.#left)
    this.#upstream.off('close', this.#finish)
  }
}

/** What the first message says, or its beginning, as latin1. */
function firstTextIn(frames: Buffer): string {
  const text: string[] = []
  const sink = {
    wantsMore: true,
    onData: (piece: string) => void text.push(piece),
    onMessageEnd: () => {
      sink.wantsMore = false
    },
  }
  try {
    new FrameReader(true, sink).push(frames)
  } catch (error) {
    if (!(error instanceof FrameError)) throw error
  }
  return text.join('')
}
