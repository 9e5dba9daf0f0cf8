/**
 * A connection to a model endpoint: one request after another, each with its answer.
 *
 * All connections read into the same memory, whose bytes are used before the next read; what is small goes out in
 * one write, head and body.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { SECOND } from '../base/clock.ts'
import { atEndOfTurn } from '../base/turn.ts'
import type { HeaderList } from './headers.ts'
import { ResponseParser, type ResponseSink } from './response-parser.ts'

export interface UpstreamRequest {
  /** scheme://host[:port], http or https */
  readonly origin: string
  /** In ASCII, without white space. */
  readonly path: string
  readonly method: string
  readonly headers: HeaderList
  readonly body: Buffer | Readable | null
  /** Of a body that is a stream, where it is known; without it the body goes in chunks. */
  readonly contentLength?: string | undefined
}

/** Who gets the answer. */
export interface Exchange extends ResponseSink {
  readonly request: UpstreamRequest
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
  /** The last TLS session, to take up again. */
  session: Buffer | undefined
  /** It can carry another request. */
  onIdle(connection: Connection): void
  onClose(connection: Connection): void
}

type Wait = 'connect' | 'head' | 'body' | 'idle'

const SHARED = Buffer.allocUnsafeSlow(64 * 1024)
/** A body up to here is copied behind its head and written with it. */
const MAX_JOINED_BYTES = 16 * 1024
const TCP_KEEP_ALIVE_MS = 60_000
/** An idle connection is given up so long before upstream says that it would. */
const KEEP_ALIVE_MARGIN_SECONDS = 2
const MAX_KEEP_ALIVE_SECONDS = 600

export class Connection implements ResponseSink {
  readonly #owner: Owner
  readonly #patience: Patience
  readonly #socket: Socket
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
    this.#socket = this.#connect()
    this.#socket.on('error', (error) => {
      if (this.#wait === 'connect') owner.session = undefined // it may be what the server did not like
      this.#failure ??= error
    })
    this.#socket.on('end', () => {
      this.#parser.finish()
      this.#socket.destroy()
    })
    this.#socket.on('close', () => {
      owner.onClose(this)
      this.#fail(this.#failure ?? new ConnectionError('CONNECTION_CLOSED'))
    })
    this.#socket.resume()
  }

  /** Of an idle connection: whether upstream should still know it. */
  get isFresh(): boolean {
    return !this.#socket.destroyed && Date.now() < this.#idleUntil
  }

  /** Sends a request. Only on a connection that carries none. */
  carry(exchange: Exchange): void {
    this.#exchange = exchange
    const { method, body } = exchange.request
    this.#parser.expect(method)
    if (this.#wait === 'idle') this.#await('head')
    const head = requestHead(exchange.request, this.#owner.url.host)
    if (body === null) {
      this.#socket.write(`${head}${EXPECTS_BODY.has(method) ? 'content-length: 0\r\n' : ''}\r\n`, 'latin1')
    } else if (!Buffer.isBuffer(body)) {
      this.#upload = new Upload(this, this.#socket, head, body, exchange.request.contentLength)
    } else if (body.length <= MAX_JOINED_BYTES) {
      this.#socket.write(`${head}content-length: ${body.length}\r\n\r\n${body.toString('latin1')}`, 'latin1')
    } else {
      this.#socket.cork()
      this.#socket.write(`${head}content-length: ${body.length}\r\n\r\n`, 'latin1')
      this.#socket.write(body)
      this.#socket.uncork()
    }
  }

  /** Reads no further until {@link resume}. */
  pause(): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#await('body')
    this.#socket.resume()
  }

  /** A piece of the request has gone out: the wait for the answer begins anew. */
  noteUpload(): void {
    if (this.#wait === 'head') this.#await('head')
  }

  /** Hangs up; whoever waits for an answer hears of it. */
  destroy(error: Error): void {
    this.#failure ??= error
    this.#socket.destroy()
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
    this.#socket.destroy()
  }

  /** Upstream may have closed the connection right behind its answer, which only the next turn will tell. */
  readonly #rest = () => atEndOfTurn(this.#becomeIdle)

  readonly #becomeIdle = () => {
    if (this.#socket.writableLength > 0) this.#socket.destroy()
    else if (!this.#socket.destroyed) this.#owner.onIdle(this)
  }

  #connect(): Socket {
    const { url, session } = this.#owner
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const onread = { buffer: SHARED, callback: (count: number) => this.#received(count) }
    const options = { host, onread, noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS }
    const established = () => {
      if (this.#wait === 'connect') this.#await('head')
    }
    if (url.protocol === 'http:') return connectTcp({ ...options, port: Number(url.port || 80) }, established)
    const servername = isIP(host) === 0 ? { servername: host } : {}
    const port = Number(url.port || 443)
    return connectTls(
      { ...options, ...servername, port, session, ALPNProtocols: ['http/1.1'], rejectUnauthorized: true },
      established,
    ).on('session', (newer) => {
      this.#owner.session = newer
    })
  }

  /** @returns whether to read on */
  #received(count: number): boolean {
    try {
      this.#parser.push(SHARED.subarray(0, count))
    } catch (error) {
      this.destroy(error as Error)
    }
    return !this.#isPaused
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

/** A body on its way up, no faster than upstream takes it. */
class Upload {
  isDone = false
  readonly #connection: Connection
  readonly #socket: Socket
  readonly #body: Readable
  readonly #isChunked: boolean

  constructor(connection: Connection, socket: Socket, head: string, body: Readable, contentLength?: string) {
    this.#connection = connection
    this.#socket = socket
    this.#body = body
    this.#isChunked = contentLength === undefined
    const length = this.#isChunked ? 'transfer-encoding: chunked' : `content-length: ${contentLength}`
    socket.write(`${head}${length}\r\n\r\n`, 'latin1')
    socket.on('drain', this.#onDrain)
    body.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onLoss).on('close', this.#onLoss)
  }

  /** The body is no concern of ours any more; what is left of it is read, so that its sender comes to an end. */
  stop(): void {
    this.#socket.off('drain', this.#onDrain)
    const body = this.#body
    if (!this.isDone) body.resume()
    body
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('error', this.#onLoss)
      .off('close', this.#onLoss)
  }

  readonly #onDrain = () => this.#body.resume()

  readonly #onData = (bytes: Buffer) => {
    this.#connection.noteUpload()
    if (!this.#write(bytes)) this.#body.pause()
  }

  readonly #onEnd = () => {
    if (this.#isChunked) this.#socket.write('0\r\n\r\n', 'latin1')
    this.isDone = true
    this.stop()
  }

  readonly #onLoss = () => this.#connection.destroy(new ConnectionError('UPLOAD_BROKEN'))

  #write(bytes: Buffer): boolean {
    if (!this.#isChunked) return this.#socket.write(bytes)
    this.#socket.cork()
    this.#socket.write(`${bytes.length.toString(16)}\r\n`, 'latin1')
    this.#socket.write(bytes)
    const takesMore = this.#socket.write('\r\n', 'latin1')
    this.#socket.uncork()
    return takesMore
  }
}

/** Methods whose requests say so if they have no body (RFC 9110 §8.6). */
const EXPECTS_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])
/** Nothing that ends a line, nothing beyond one byte (RFC 9110 §5.5). */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** Up to the header of the body's length. @throws ConnectionError for a value that is none */
function requestHead({ method, path, headers }: UpstreamRequest, host: string): string {
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] as string
    if (!FIELD_VALUE.test(value)) throw new ConnectionError('INVALID_HEADER', headers[i])
    head += `${headers[i]}: ${value}\r\n`
  }
  return head
}

/** Tells an operator by its code what happened. */
class ConnectionError extends Error {
  readonly code: string

  constructor(code: string, message?: string) {
    super(message)
    this.code = code
  }
}

/** Its code: CONNECT_TIMEOUT, HEAD_TIMEOUT, BODY_TIMEOUT or IDLE_TIMEOUT. */
export class WaitedTooLong extends ConnectionError {
  constructor(wait: Wait) {
    super(`${wait.toUpperCase()}_TIMEOUT`)
  }
}
