/**
 * For single questions: logins and refreshes, doctor, the connection test, the webhook. Calls of clients go through
 * the pool.
 */
import { Agent, type buildConnector } from 'undici'
import { SECOND } from '../base/clock.ts'
import type { ProxyFor } from '../http1/egress-proxy.ts'
import { NeverConnected } from '../http1/never-connected.ts'
import { openSocket } from '../http1/open-socket.ts'

const CONNECT_TIMEOUT_MS = 10 * SECOND
const LOGIN_CONNECT_TIMEOUT_MS = 5 * SECOND

export function createAgent(proxyFor: ProxyFor): Agent {
  return new Agent({ connect: connector(proxyFor, CONNECT_TIMEOUT_MS) })
}

/**
 * For those who issue tokens: a connection for each request. On a kept-alive one the server may hang up just as we
 * write, and then nobody can tell whether a refresh token was spent.
 */
export function createLoginAgent(proxyFor: ProxyFor): Agent {
  return new Agent({ pipelining: 0, connect: connector(proxyFor, LOGIN_CONNECT_TIMEOUT_MS) })
}

function connector(proxyFor: ProxyFor, timeoutMs: number): buildConnector.connector {
  return ({ protocol, host }, callback) => {
    const target = new URL(`${protocol}//${host}`)
    const opening = openSocket(
      target,
      proxyFor(target),
      {},
      {
        onOpen: (socket) => {
          clearTimeout(timer)
          callback(null, socket)
        },
        onFailure: (error) => {
          clearTimeout(timer)
          callback(error, null)
        },
      },
    )
    const timer = setTimeout(() => {
      opening.giveUp()
      callback(new NeverConnected('CONNECT_TIMEOUT'), null)
    }, timeoutMs)
  }
}
