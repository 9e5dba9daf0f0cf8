/**
 * A connection of HTTP/1.1 (RFC 9112) to a server: one request after another, each with its answer.
 *
 * All connections read into the same memory, whose bytes are used before the next read; what is small goes out in
 * one write, head and body. That is why this folder exists beside Node's own client and undici: in place of undici's
 * it made 1.54 times the calls a second with 0.61 of the processor time (docs/performance-measured.md).
 */
import type { Socket } from 'node:net'
import { SECOND } from '../base/clock.ts'
import { atEndOfTurn } from '../base/turn.ts'
import { ConnectionError, type Wait, WaitedTooLong } from './connection-error.ts'
import type { Confined, EgressProxy } from './egress-proxy.ts'
import type { HeaderList } from './header-list.ts'
import { type Opener, type Opening, openSocket } from './open-socket.ts'
import { EXPECTS_BODY, type HttpRequest, requestHead } from './request-head.ts'
import { ResponseParser, type ResponseSink } from './response-parser.ts'
import { type SocketUser, tell } from './socket-user.ts'
import type { TlsIdentity } from './tls-identity.ts'
import { Upload } from './upload.ts'

/** Who gets the answer. */
export interface Exchange extends ResponseSink {
  readonly request: HttpRequest
  onFailure(error: Error): void
}

/** How many ticks of the pool each kind of wait may take. */
export interface Patience {
  readonly connect: number
  readonly head: number
  /** Between two pieces of a body. */
  readonly body: number
  readonly tickMs: number
  readonly idleMs: number
}

/** Whose connection it is: all of one origin have the same owner. */
export interface Owner {
  readonly url: URL
  readonly proxy: EgressProxy | Confined | undefined
  readonly tls: TlsIdentity | undefined
  /** The last TLS session, to take up again. */
  tlsSession: Buffer | undefined
  /** It can carry another request. */
  onIdle(connection: Connection): void
  onClose(connection: Connection): void
}

const SHARED = Buffer.allocUnsafeSlow(64 * 1024)
/** A body up to here is copied behind its head and written with it. */
const MAX_JOINED_BYTES = 16 * 1024
/** An idle connection is given up so long before upstream says that it would. */
const KEEP_ALIVE_MARGIN_SECONDS = 2
const MAX_KEEP_ALIVE_SECONDS = 600

export class Connection implements ResponseSink, Opener, SocketUser {
  readonly #owner: Owner
  readonly #patience: Patience
  /** Until it stands. */
  #opening: Opening | undefined
  /** Undefined until it stands. */
  #socket: Socket | undefined
  readonly #parser = new ResponseParser(this)
  #exchange: Exchange | undefined
  #upload: Upload | undefined
  #wait: Wait = 'connect'
  #ticksLeft: number
  /** Wall time, which passes while a machine sleeps, too. */
  #idleUntil = 0
  #isPaused = false
  #failure: Error | undefined

  constructor(owner: Owner, patience: Patience) {
    this.#owner = owner
    this.#patience = patience
    this.#ticksLeft = patience.connect
    const onread = { buffer: SHARED, callback: (count: number) => this.onBytes(SHARED.subarray(0, count)) }
    const onTlsSession = (session: Buffer) => {
      owner.tlsSession = session
    }
    this.#opening = openSocket(
      owner.url,
      owner.proxy,
      { onread, tlsSession: owner.tlsSession, onTlsSession, tls: owner.tls },
      this,
    )
  }

  onOpen(socket: Socket): void {
    this.#opening = undefined
    this.#socket = socket
    tell(this, socket).resume()
    this.#await('head')
    try {
      if (this.#exchange) this.#send(this.#exchange.request, socket)
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  /** @returns whether to read on */
  onBytes(bytes: Buffer): boolean {
    try {
      this.#parser.push(bytes)
    } catch (error) {
      this.destroy(error as Error)
    }
    return !this.#isPaused
  }

  onSocketError(error: Error): void {
    this.#failure ??= error
  }

  onSocketEnd(): void {
    this.#parser.finish()
    this.#socket?.destroy()
  }

  onSocketClose(): void {
    this.#owner.onClose(this)
    this.#fail(this.#failure ?? new ConnectionError('CONNECTION_CLOSED'))
  }

  onFailure(error: Error): void {
    this.#opening = undefined
    this.#owner.tlsSession = undefined // it may be what the server did not like
    this.#owner.onClose(this)
    this.#fail(error)
  }

  /** Of an idle connection: whether upstream should still know it. */
  get isFresh(): boolean {
    return this.#socket?.destroyed === false && Date.now() < this.#idleUntil
  }

  /** Sends a request. Only on a connection that carries none. */
  carry(exchange: Exchange): void {
    this.#exchange = exchange
    this.#parser.expect(exchange.request.method)
    if (this.#wait === 'idle') this.#await('head')
    if (this.#socket) this.#send(exchange.request, this.#socket)
  }

  #send(request: HttpRequest, socket: Socket): void {
    const { method, body } = request
    const head = requestHead(request, this.#owner.url.host)
    if (body === null) {
      socket.write(`${head}${EXPECTS_BODY.has(method) ? 'content-length: 0\r\n' : ''}\r\n`, 'latin1')
    } else if (!Buffer.isBuffer(body)) {
      if (body.destroyed) throw new ConnectionError('UPLOAD_BROKEN')
      this.#upload = new Upload(this, socket, head, body, request.contentLength)
    } else if (body.length <= MAX_JOINED_BYTES) {
      socket.write(`${head}content-length: ${body.length}\r\n\r\n${body.toString('latin1')}`, 'latin1')
    } else {
      socket.cork()
      socket.write(`${head}content-length: ${body.length}\r\n\r\n`, 'latin1')
      socket.write(body)
      socket.uncork()
    }
  }

  /** Reads no further until {@link resume}. */
  pause(): void {
    this.#isPaused = true
    this.#socket?.pause()
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#await('body')
    this.#socket?.resume()
  }

  /** A piece of the request has gone out: the wait for the answer begins anew. */
  noteUpload(): void {
    if (this.#wait === 'head') this.#await('head')
  }

  /** Hangs up; whoever waits for an answer hears of it. */
  destroy(error: Error): void {
    this.#failure ??= error
    this.#hangUp()
    this.#fail(error)
  }

  /** Called by the pool's clock. */
  tick(): void {
    if (this.#isPaused) return
    this.#ticksLeft -= 1
    if (this.#ticksLeft < 0) this.destroy(new WaitedTooLong(this.#wait))
  }

  onHead(status: number, headers: HeaderList): void {
    this.#await('body')
    this.#exchange?.onHead(status, headers)
  }

  onData(bytes: Buffer): void {
    this.#ticksLeft = this.#patience.body
    this.#exchange?.onData(bytes)
  }

  onEnd(): void {
    const exchange = this.#exchange
    this.#exchange = undefined
    exchange?.onEnd()
    this.resume()
    const idleMs = this.#idleMs()
    // A rest of the body that upstream did not care for would be the beginning of the next request.
    if (this.#upload?.isDone !== false && this.#parser.keepsAlive && idleMs > 0) {
      this.#upload = undefined
      this.#wait = 'idle'
      this.#ticksLeft = Math.ceil(idleMs / this.#patience.tickMs)
      this.#idleUntil = Date.now() + idleMs
      atEndOfTurn(this.#rest)
      return
    }
    this.#upload?.stop()
    this.#socket?.destroy()
  }

  /** Upstream may have closed the connection right behind its answer, which only the next turn will tell. */
  readonly #rest = () => atEndOfTurn(this.#becomeIdle)

  readonly #becomeIdle = () => {
    if (this.#socket === undefined || this.#socket.writableLength > 0) this.#socket?.destroy()
    else if (!this.#socket.destroyed) this.#owner.onIdle(this)
  }

  #hangUp(): void {
    if (this.#socket) this.#socket.destroy()
    else {
      this.#opening?.giveUp()
      this.#owner.onClose(this)
    }
  }

  #await(wait: Exclude<Wait, 'idle'>): void {
    this.#wait = wait
    this.#ticksLeft = this.#patience[wait]
  }

  #idleMs(): number {
    const { keepAliveSeconds } = this.#parser
    if (keepAliveSeconds === undefined) return this.#patience.idleMs
    return Math.min(keepAliveSeconds - KEEP_ALIVE_MARGIN_SECONDS, MAX_KEEP_ALIVE_SECONDS) * SECOND
  }

  #fail(error: Error): void {
    this.#upload?.stop()
    const exchange = this.#exchange
    this.#exchange = undefined
    exchange?.onFailure(error)
  }
}
