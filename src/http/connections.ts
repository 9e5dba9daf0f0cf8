/**
 * The connections of clients: no more of them than there are descriptors for, and at the end a kept-alive one is ended
 * as soon as its last answer has left, not when its client or a timeout says so.
 */
import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { SECOND } from '../base/clock.ts'
import type { ClientRequest } from './client-request.ts'

export type ClientSocket = Socket & { latestRequest?: ClientRequest; latestResponse?: ServerResponse }

/** Whether an answer is still on its way, or the socket is no HTTP connection any more. */
export function isBusy({ latestRequest, latestResponse }: ClientSocket): boolean {
  if (latestRequest === undefined) return false
  return latestRequest.upgrade || latestResponse?.closed === false
}

/** For what is no client's: the database, files, the log, logins and refreshes. */
const OWN_DESCRIPTORS = 100
/** Connections beyond the cap, in which only health is asked after. */
const RESERVED = 32
const FEWEST = 16

/** A call needs two descriptors, one to its client and one to upstream. */
export function connectionCap(descriptors: number | undefined): number {
  if (descriptors === undefined) return Number.POSITIVE_INFINITY
  return Math.max(FEWEST, Math.floor((descriptors - OWN_DESCRIPTORS - RESERVED) / 2))
}

const MOST_SOCKETS_A_KEY = 1_000

/** Of WebSockets, which are busy however silent they are: half of the connections, so that others have theirs. */
export function socketsAKey(descriptors: number | undefined): number {
  return Math.min(MOST_SOCKETS_A_KEY, Math.floor(connectionCap(descriptors) / 2))
}

/** Its head should be here by then; a connection that is silent for longer is idle. */
const SILENT_MS = SECOND
/** One in so many connections may be ended at once to make room. */
const BATCH_SHARE = 16
/** After a search for idle ones that found none, the next. */
const SEARCH_AGAIN_MS = 100

export class Connections {
  /** With the time they were made at, the oldest first. */
  readonly #open = new Map<ClientSocket, number>()
  /** Those beyond the cap. */
  readonly #reserve = new Set<Socket>()
  readonly #cap: number
  /** One listener for all connections, each of which is its `this`. */
  readonly #onClose: (this: Socket) => void
  #vainSearchAt = Number.NEGATIVE_INFINITY

  constructor(server: Server, cap: number) {
    this.#cap = cap
    const forget = (socket: Socket) => this.#forget(socket)
    this.#onClose = function () {
      forget(this)
    }
    server.on('connection', (socket: ClientSocket) => this.#add(socket))
    // Node calls it when a server is closed, and would cut what has not been flushed yet.
    server.closeIdleConnections = () => {
      for (const socket of this.#open.keys()) endOnceIdle(socket)
    }
  }

  /** The oldest first. */
  get open(): Iterable<ClientSocket> {
    return this.#open.keys()
  }

  /** Whether a call on this connection is one too many. Those that stood before are not. */
  isBeyondCap(socket: Socket): boolean {
    if (this.#reserve.size === 0 || !this.#reserve.has(socket)) return false
    if (this.#open.size > this.#cap) return true
    this.#reserve.delete(socket)
    return false
  }

  #add(socket: ClientSocket): void {
    this.#open.set(socket, performance.now())
    socket.on('close', this.#onClose)
    if (this.#open.size <= this.#cap || this.#makeRoom()) return
    this.#reserve.add(socket)
    if (this.#reserve.size <= RESERVED) return
    for (const oldest of this.#reserve) {
      this.#forget(oldest)
      oldest.destroy()
      return
    }
  }

  #forget(socket: Socket): void {
    this.#open.delete(socket)
    this.#reserve.delete(socket)
  }

  /** Ends some that are idle, so that not every new connection costs a search. @returns whether there were any */
  #makeRoom(): boolean {
    const now = performance.now()
    if (now - this.#vainSearchAt < SEARCH_AGAIN_MS) return false
    let left = Math.ceil(this.#cap / BATCH_SHARE)
    let isFound = false
    for (const [socket, since] of this.#open) {
      if (isBusy(socket) || now - since < SILENT_MS) continue
      isFound = true
      this.#forget(socket)
      // One that lingers over the rest of a body has had its answer.
      if (socket.writableEnded) socket.destroy()
      else socket.destroySoon()
      left -= 1
      if (left === 0) break
    }
    if (!isFound) this.#vainSearchAt = now
    return isFound
  }
}

function endOnceIdle(socket: ClientSocket): void {
  const response = socket.latestResponse
  if (!response || response.closed) socket.destroySoon()
  else response.once('close', () => endOnceIdle(socket))
}
