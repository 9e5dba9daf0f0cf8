/**
 * The socket of a client that asks for a WebSocket, until its handshake is answered.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Of what a client says before upstream has accepted. */
const MAX_EARLY_BYTES = 64 * 1024

/** Read meanwhile, to hear of the client leaving. */
export class ClientSocket {
  readonly socket: Socket
  readonly #response: ServerResponse
  #early: Buffer[]
  #earlyBytes = 0

  constructor(socket: Socket, head: Buffer, response: ServerResponse) {
    this.socket = socket
    this.#response = response
    this.#early = [head]
    socket.on('data', this.#keep)
  }

  /** No answer of HTTP comes any more. */
  take(): void {
    this.#response.detachSocket(this.socket)
    this.socket.off('data', this.#keep).pause()
  }

  early(): Buffer {
    return Buffer.concat(this.#early)
  }

  readonly #keep = (bytes: Buffer) => {
    this.#early.push(bytes)
    this.#earlyBytes += bytes.length
    if (this.#earlyBytes > MAX_EARLY_BYTES) this.socket.pause()
  }
}

/** Aborts when the connection is over. */
export function closeOf(socket: Socket): AbortSignal {
  const end = new AbortController()
  if (socket.destroyed) end.abort()
  socket.once('close', () => end.abort())
  return end.signal
}

/** The parser's word, not the header's: with `Upgrade` alone a call is still a call, and no socket is taken over. */
export function isUpgrade(request: IncomingMessage & { upgrade?: boolean }): boolean {
  return request.upgrade === true
}
