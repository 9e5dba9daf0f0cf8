/**
 * The handshake of a WebSocket (RFC 6455 §4.1) with a model endpoint: a connection of its own, through the proxy if
 * there is one, that has switched to frames when it is handed over.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { WaitedTooLong } from '../http1/connection-error.ts'
import type { ProxyFor } from '../http1/egress-proxy.ts'
import { type HeaderList, headerValue } from '../http1/header-list.ts'
import { type Opener, openSocket } from '../http1/open-socket.ts'
import { requestHead } from '../http1/request-head.ts'
import { ResponseParser, type ResponseSink } from '../http1/response-parser.ts'
import type { Way } from '../provider/way.ts'
import { judge } from './call.ts'
import { WaysOut } from './ways-out.ts'

export interface WebSocketRequest {
  /** scheme://host[:port], http or https */
  readonly origin: string
  readonly path: string
  readonly headers: HeaderList
  /** Subprotocols to choose from, in order of preference. */
  readonly protocols: readonly string[]
  /** Without it as all others. */
  readonly way?: Way | undefined
}

/** Frames from now on. The socket is paused and without listeners but for its errors. */
export interface Accepted {
  readonly status: 101
  readonly headers: HeaderList
  readonly socket: Socket
  /** What came behind the head. */
  readonly first: Buffer
  readonly protocol: string | undefined
}

/** An answer of HTTP instead. */
export interface Refused {
  readonly status: number
  readonly headers: HeaderList
  /** At most MAX_BODY_BYTES of it. */
  readonly body: Buffer
}

const HANDSHAKE_MS = 30 * SECOND
const MAX_BODY_BYTES = 64 * 1024

export class WebSocketOpener {
  readonly #waysOut: WaysOut
  readonly #handshakeMs: number

  constructor(proxyFor: ProxyFor, handshakeMs = HANDSHAKE_MS) {
    this.#waysOut = new WaysOut(proxyFor)
    this.#handshakeMs = handshakeMs
  }

  /** @param signal gives it up. @throws BrokerError upstream_unreachable | upstream_timeout | upstream_broken */
  open(request: WebSocketRequest, signal: AbortSignal): Promise<Accepted | Refused> {
    const url = new URL(request.origin)
    const handshake = new Handshake(request, url.host)
    const { proxyFor, tls } = this.#waysOut.of(request.way?.egress)
    const opening = openSocket(url, proxyFor(url), { tls }, handshake)
    const timer = setTimeout(() => handshake.fail(new WaitedTooLong('head')), this.#handshakeMs)
    const giveUp = () => handshake.fail(new Error('given up'))
    signal.addEventListener('abort', giveUp, { once: true })
    if (signal.aborted) giveUp()
    return handshake.result.finally(() => {
      clearTimeout(timer)
      signal.removeEventListener('abort', giveUp)
      if (!handshake.isConnected) opening.giveUp()
    })
  }
}

/** Fixed by RFC 6455 §1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** What a server answers to this `Sec-WebSocket-Key`. */
export function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64')
}

class Handshake implements Opener, ResponseSink {
  readonly #request: WebSocketRequest
  readonly #host: string
  readonly #key = randomBytes(16).toString('base64')
  readonly #parser = new ResponseParser(this)
  readonly #result = Promise.withResolvers<Accepted | Refused>()
  #socket: Socket | undefined
  #status = 0
  #headers: HeaderList = []
  #body: Buffer[] = []
  #bodyBytes = 0
  #isOver = false

  constructor(request: WebSocketRequest, host: string) {
    this.#request = request
    this.#host = host
  }

  get result(): Promise<Accepted | Refused> {
    return this.#result.promise
  }

  get isConnected(): boolean {
    return this.#socket !== undefined
  }

  fail(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#socket?.destroy()
    this.#result.reject(error instanceof BrokerError ? error : judge(error, this.#status !== 0))
  }

  onOpen(socket: Socket): void {
    socket.on('error', (error) => this.fail(error))
    this.#socket = socket
    if (this.#isOver) {
      socket.destroy()
      return
    }
    const { path, headers, protocols } = this.#request
    const own = ['connection', 'Upgrade', 'upgrade', 'websocket', 'sec-websocket-version', '13']
    own.push('sec-websocket-key', this.#key)
    if (protocols.length > 0) own.push('sec-websocket-protocol', protocols.join(', '))
    socket.on('data', this.#read).on('end', this.#finish).on('close', this.#cut)
    try {
      const head = requestHead({ method: 'GET', path, headers: [...own, ...headers] }, this.#host)
      this.#parser.expect('GET', true)
      socket.write(`${head}\r\n`, 'latin1')
      socket.resume()
    } catch (error) {
      this.fail(error as Error)
    }
  }

  onFailure(error: Error): void {
    this.fail(error)
  }

  onHead(status: number, headers: HeaderList): void {
    this.#status = status
    this.#headers = headers
  }

  onData(bytes: Buffer): void {
    const room = MAX_BODY_BYTES - this.#bodyBytes
    if (this.#status === 101 || bytes.length <= room) this.#body.push(bytes)
    else this.#body.push(bytes.subarray(0, room))
    this.#bodyBytes += bytes.length
    if (this.#status !== 101 && this.#bodyBytes > MAX_BODY_BYTES) this.onEnd()
  }

  onEnd(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#socket?.destroy()
    this.#result.resolve({ status: this.#status, headers: this.#headers, body: Buffer.concat(this.#body) })
  }

  readonly #read = (bytes: Buffer) => {
    if (this.#isOver) return
    try {
      this.#parser.push(bytes)
      if (this.#status === 101) this.#accept()
    } catch (error) {
      this.fail(error as Error)
    }
  }

  readonly #finish = () => {
    this.#parser.finish()
    this.#cut()
  }

  readonly #cut = () => this.fail(Object.assign(new Error('cut'), { code: 'CONNECTION_CLOSED' }))

  #accept(): void {
    const protocol = headerValue(this.#headers, 'sec-websocket-protocol')
    const problem = this.#problem(protocol)
    if (problem) throw new BrokerError('upstream_broken', { detail: `its handshake: ${problem}` })
    const socket = this.#socket as Socket
    this.#isOver = true
    socket.off('data', this.#read).off('end', this.#finish).off('close', this.#cut).pause()
    const headers = this.#headers
    this.#result.resolve({ status: 101, headers, socket, first: Buffer.concat(this.#body), protocol })
  }

  /** What a client must refuse (RFC 6455 §4.1). */
  #problem(protocol: string | undefined): string | undefined {
    const says = (name: string) => headerValue(this.#headers, name)
    if (says('upgrade')?.toLowerCase() !== 'websocket') return 'Upgrade'
    if (!/(?:^|,)[\t ]*upgrade[\t ]*(?:,|$)/i.test(says('connection') ?? '')) return 'Connection'
    if (says('sec-websocket-accept') !== acceptOf(this.#key)) return 'Sec-WebSocket-Accept'
    if (says('sec-websocket-extensions')) return 'an extension nobody offered'
    if (protocol !== undefined && !this.#request.protocols.includes(protocol))
      return 'a subprotocol nobody offered'
    return undefined
  }
}
