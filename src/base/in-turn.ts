/**
 * Calls that were sent without waiting for answers (RFC 9112 §9.3.2) are handled one after the other: with the answer
 * before it a connection may end, and what stands behind it is then no call, or one that nobody would be told of.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** @param begin is not called if the connection has ended */
export function inTurn(
  socket: Socket & { latestResponse?: ServerResponse },
  response: ServerResponse,
  begin: () => void,
): void {
  const before = socket.latestResponse
  socket.latestResponse = response
  if (before?.closed === false) before.once('close', () => beginUnlessEnded(socket, begin))
  else beginUnlessEnded(socket, begin)
}

function beginUnlessEnded(socket: Socket, begin: () => void): void {
  if (!socket.destroyed && !socket.writableEnded) begin()
}
