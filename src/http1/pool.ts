/**
 * The connections to servers: kept alive per origin, TLS always verified, redirects never followed.
 *
 * A request is written at the end of its turn, and a connection can be used again one turn after its answer: one that
 * upstream has meanwhile closed is known to be closed by then, and no call is lost on it.
 */
import { SECOND } from '../base/clock.ts'
import { every } from '../base/every.ts'
import { atEndOfTurn } from '../base/turn.ts'
import { Connection, type Owner, type Patience } from './connection.ts'
import { type Confined, type EgressProxy, NO_PROXY, type ProxyFor } from './egress-proxy.ts'
import type { HttpRequest } from './request-head.ts'
import type { TlsIdentity } from './tls-identity.ts'

/** Milliseconds; all but the last may take up to a second longer. */
export interface Timeouts {
  readonly connect: number
  /** A long completion without streaming sends its head at the very end. */
  readonly head: number
  /** Between two chunks; there is none for the whole. */
  readonly body: number
  /** How long an idle connection is used again; up to a second later it is closed. */
  readonly idle: number
}

/** A request that waits for its connection. */
export interface Carried {
  readonly request: Pick<HttpRequest, 'origin'>
  /** Nobody waits for it any more. */
  readonly isOver: boolean
  /** @param take opens a connection, or takes one that is idle */
  sendOn(take: () => Connection): void
}

export class ConnectionPool {
  readonly #origins = new Map<string, Origin>()
  readonly #patience: Patience
  readonly #proxyFor: ProxyFor
  readonly #tls: TlsIdentity | undefined
  readonly #stopTicking: () => void

  constructor(timeouts: Timeouts, proxyFor: ProxyFor = NO_PROXY, tls?: TlsIdentity) {
    this.#proxyFor = proxyFor
    this.#tls = tls
    const { connect, head, body, idle } = timeouts
    const tickMs = Math.min(SECOND, connect, head, body)
    const ticks = (ms: number) => Math.ceil(ms / tickMs)
    this.#patience = {
      connect: ticks(connect),
      head: ticks(head),
      body: ticks(body),
      idleMs: idle,
      tickMs,
    }
    // Ticks are counted, not time: a process that was stopped for an hour has waited for one tick.
    this.#stopTicking = every(tickMs, () => {
      for (const { open } of this.#origins.values()) for (const connection of open) connection.tick()
    })
  }

  /** Sends once; never again by itself. */
  carry(call: Carried): void {
    atEndOfTurn(() => {
      if (!call.isOver) call.sendOn(() => this.#origin(call.request.origin).take(this.#patience))
    })
  }

  /** Cuts every connection. */
  destroy(): void {
    this.#stopTicking()
    for (const { open } of this.#origins.values()) {
      for (const connection of open) connection.destroy(new Error('the pool is closed'))
    }
  }

  #origin(url: string): Origin {
    let origin = this.#origins.get(url)
    if (!origin) {
      const parsed = new URL(url)
      origin = new Origin(parsed, this.#proxyFor(parsed), this.#tls)
      this.#origins.set(url, origin)
    }
    return origin
  }
}

/** As many connections as there are calls at once; whatever was idle for too long is closed by the clock. */
class Origin implements Owner {
  readonly url: URL
  readonly proxy: EgressProxy | Confined | undefined
  readonly tls: TlsIdentity | undefined
  tlsSession: Buffer | undefined = undefined
  readonly open = new Set<Connection>()
  /** The one used last is last. */
  readonly #idle: Connection[] = []

  constructor(url: URL, proxy: EgressProxy | Confined | undefined, tls: TlsIdentity | undefined) {
    this.url = url
    this.proxy = proxy
    this.tls = tls
  }

  take(patience: Patience): Connection {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) if (idle.isFresh) return idle
    const connection = new Connection(this, patience)
    this.open.add(connection)
    return connection
  }

  onIdle(connection: Connection): void {
    this.#idle.push(connection)
  }

  onClose(connection: Connection): void {
    this.open.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
  }
}
