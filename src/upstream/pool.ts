import { MINUTE, SECOND } from '../base/clock.ts'
import type { ProxyFor } from '../http1/egress-proxy.ts'
import { ConnectionPool, type Timeouts } from '../http1/pool.ts'
import type { HttpRequest } from '../http1/request-head.ts'
import { UpstreamCall } from './call.ts'

export const TIMEOUTS: Timeouts = {
  connect: 10 * SECOND,
  head: 10 * MINUTE,
  body: 5 * MINUTE,
  idle: 4 * SECOND,
}

/** Calls to model endpoints, over connections that are kept alive. */
export class UpstreamPool {
  readonly #connections: ConnectionPool

  constructor(timeouts: Timeouts = TIMEOUTS, proxyFor?: ProxyFor) {
    this.#connections = new ConnectionPool(timeouts, proxyFor)
  }

  /** Sends once; never again by itself. */
  send(request: HttpRequest): UpstreamCall {
    const call = new UpstreamCall(request)
    this.#connections.carry(call)
    return call
  }

  /** Cuts every connection. */
  destroy(): void {
    this.#connections.destroy()
  }
}
