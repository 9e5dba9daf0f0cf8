import { MINUTE, SECOND } from '../base/clock.ts'
import { NO_PROXY, type ProxyFor } from '../http1/egress-proxy.ts'
import { ConnectionPool, type Timeouts } from '../http1/pool.ts'
import type { HttpRequest } from '../http1/request-head.ts'
import type { Way } from '../provider/way.ts'
import { UpstreamCall } from './call.ts'
import { WaysOut } from './ways-out.ts'

export const TIMEOUTS: Timeouts = {
  connect: 10 * SECOND,
  head: 10 * MINUTE,
  body: 5 * MINUTE,
  idle: 4 * SECOND,
}

export interface UpstreamRequest extends HttpRequest {
  /** Without it as all others. */
  readonly way?: Way | undefined
}

/** Calls to model endpoints, over connections that are kept alive. */
export class UpstreamPool {
  readonly #timeouts: Timeouts
  readonly #waysOut: WaysOut
  readonly #connections: ConnectionPool
  /** Those of other ways, by their keys. */
  readonly #others = new Map<string, ConnectionPool>()

  constructor(timeouts: Timeouts = TIMEOUTS, proxyFor: ProxyFor = NO_PROXY) {
    this.#timeouts = timeouts
    this.#waysOut = new WaysOut(proxyFor)
    this.#connections = new ConnectionPool(timeouts, proxyFor)
  }

  /** Sends once; never again by itself. */
  send(request: UpstreamRequest): UpstreamCall {
    const call = new UpstreamCall(request)
    const connections = request.way ? this.#ofWay(request.way) : this.#connections
    connections.carry(call)
    return call
  }

  /** Cuts every connection. */
  destroy(): void {
    for (const connections of [this.#connections, ...this.#others.values()]) connections.destroy()
  }

  #ofWay({ key, connectMs, headMs, idleMs, egress }: Way): ConnectionPool {
    let connections = this.#others.get(key)
    if (!connections) {
      const { connect, head, body, idle } = this.#timeouts
      const timeouts = { connect: connectMs ?? connect, head: headMs ?? head, body: idleMs ?? body, idle }
      const { proxyFor, tls } = this.#waysOut.of(egress)
      connections = new ConnectionPool(timeouts, proxyFor, tls)
      this.#others.set(key, connections)
    }
    return connections
  }
}
