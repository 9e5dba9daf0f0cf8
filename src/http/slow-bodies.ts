/**
 * Bodies that never arrive: whoever is asked to send on and does not is answered 408. One timer looks at the
 * connections' own counts of bytes, so that a body that is quick costs nothing.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { every } from '../base/every.ts'
import type { ClientRequest } from './client-request.ts'
import type { ClientSocket, Connections } from './connections.ts'

/** So long a body may come slower than 1 KiB/s. */
const PATIENCE_MS = 30 * SECOND
const MIN_BYTES = 30 * 1024
const LOOK_EVERY_MS = 2 * SECOND

/** A body that we wait for. */
interface Arrival {
  readonly request: ClientRequest
  /** From `performance.now()`. */
  readonly since: number
  /** That the connection had brought by then. */
  readonly bytes: number
}

export function watchBodies(server: Server, connections: Pick<Connections, 'open'>): void {
  const arrivals = new WeakMap<Socket, Arrival>()
  const stop = every(LOOK_EVERY_MS, () => {
    const now = performance.now()
    for (const socket of connections.open) look(socket, arrivals, now)
  })
  server.once('close', stop)
}

function look(socket: ClientSocket, arrivals: WeakMap<Socket, Arrival>, now: number): void {
  const request = socket.latestRequest
  if (!request || request.complete || !mayBeSentOn(socket, request)) {
    arrivals.delete(socket)
    return
  }
  const arrival = arrivals.get(socket)
  const isOver = arrival?.request === request && now - arrival.since >= PATIENCE_MS
  if (isOver && socket.bytesRead - arrival.bytes < MIN_BYTES) giveUp(request)
  if (isOver || arrival?.request !== request) {
    arrivals.set(socket, { request, since: now, bytes: socket.bytesRead })
  }
}

/** Not while we make the client wait, for upstream takes no more or nobody has asked for the body yet. */
function mayBeSentOn(socket: Socket, request: ClientRequest): boolean {
  return !socket.isPaused() && !socket.writableEnded && request.waitingFor === undefined
}

/** Whoever reads the body answers as it answers any error. Where nobody does, nobody waits. */
function giveUp(request: ClientRequest): void {
  if (request.listenerCount('error') > 0) request.emit('error', new BrokerError('request_timeout'))
}
