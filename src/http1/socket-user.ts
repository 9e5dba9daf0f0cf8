/**
 * Who is told what happens to a socket. All sockets share one set of listeners, for a set of its own would be 400 bytes of
 * each.
 */
import type { Socket } from 'node:net'

export interface SocketUser {
  /** Unless the socket reads with `onread`, which tells whoever gave it. */
  onBytes(bytes: Buffer): void
  onSocketError(error: Error): void
  onSocketEnd(): void
  onSocketClose(): void
}

const USER = Symbol('user')
type Used = Socket & { [USER]: SocketUser }

/** @returns the socket */
export function tell(user: SocketUser, socket: Socket): Socket {
  return Object.assign(socket, { [USER]: user })
    .on('data', onData)
    .on('error', onError)
    .on('end', onEnd)
    .on('close', onClose)
}

function onData(this: Used, bytes: Buffer): void {
  this[USER].onBytes(bytes)
}

function onError(this: Used, error: Error): void {
  this[USER].onSocketError(error)
}

function onEnd(this: Used): void {
  this[USER].onSocketEnd()
}

function onClose(this: Used): void {
  this[USER].onSocketClose()
}
