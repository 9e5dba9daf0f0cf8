/**
 * What Node's HTTP server does not do for a client by itself: upgrades that nobody asked us for are ignored, a body is
 * asked for (`100 Continue`) when somebody reads it, and an answer that comes before the end of a body arrives.
 */
import type { RequestListener, Server, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { SECOND } from '../base/clock.ts'
import { inTurn } from '../base/in-turn.ts'
import { IncomingMessage } from '../base/node-http.ts'
import { headProblem } from './request-head.ts'

/** How long, and how much of, the rest of a body is read and dropped behind an answer. */
const LINGER_MS = 30 * SECOND
const MAX_LINGER_BYTES = 64 * 1024 * 1024

type ClientSocket = Socket & { latestRequest?: ClientRequest }

export class ClientRequest extends IncomingMessage {
  /** The parser's word; set in the constructor already. */
  declare asksForUpgrade: boolean | null
  /** The client waits to be asked for the body. */
  declare waitingFor: ServerResponse | undefined

  constructor(socket: Socket) {
    super(socket)
    ;(socket as ClientSocket).latestRequest = this
  }

  /** Any other upgrade (h2c, of Java's client) is ignored, and the call answered as it is (RFC 9110 §7.8). */
  get upgrade(): boolean {
    if (this.asksForUpgrade !== true) return false
    return (
      this.method === 'CONNECT' ||
      (this.method === 'GET' && this.headers.upgrade?.toLowerCase() === 'websocket')
    )
  }

  set upgrade(asked: boolean | null) {
    this.asksForUpgrade = asked
  }

  override _read(size: number): void {
    const response = this.waitingFor
    if (response) {
      this.waitingFor = undefined
      if (!response.headersSent) response.writeContinue()
    }
    super._read(size)
  }
}

/**
 * Ahead of all there is, because a router answers some calls without a hook.
 *
 * @param server with its listener for requests
 */
export function handleInTurn(server: Server): void {
  const [handle] = server.listeners('request') as RequestListener[]
  server.removeAllListeners('request')
  server.on('request', (request, response) => {
    // With a head that two may read in two ways the connection ends: what stands behind it is perhaps its body.
    if (headProblem(request) !== undefined) response.shouldKeepAlive = false
    inTurn(request.socket, response, () => handle?.(request, response))
  })
}

/** @param server made with `IncomingMessage: ClientRequest` */
export function attendClients(server: Server): void {
  handleInTurn(server)
  // A client that asks before it sends gets an error without having sent (RFC 9110 §10.1.1).
  server.on('checkContinue', (request, response) => {
    ;(request as ClientRequest).waitingFor = response
    server.emit('request', request, response)
  })
  server.on('connection', (socket: ClientSocket) => {
    socket.destroySoon = destroyBehindBody
  })
}

function destroyBehindBody(this: ClientSocket): void {
  if (this.latestRequest?.complete !== false || this.destroyed) Socket.prototype.destroySoon.call(this)
  else if (!this.writableEnded) linger(this)
}

/**
 * Ends our side of the connection and reads on until the client ends its own: were the socket closed over bytes
 * that nobody read, the kernel would reset it, and the client lose the answer (RFC 9112 §9.6).
 */
function linger(socket: Socket): void {
  // No parser from now on: what comes is the rest of that body, and no other request.
  socket.removeAllListeners('data').removeAllListeners('end')
  const destroy = () => socket.destroy()
  const timer = setTimeout(destroy, LINGER_MS)
  let bytes = 0
  socket.setTimeout(0)
  socket
    .on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > MAX_LINGER_BYTES) destroy()
    })
    .once('end', destroy)
    .once('close', () => clearTimeout(timer))
    .resume()
    .end()
}
