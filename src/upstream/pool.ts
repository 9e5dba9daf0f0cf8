/**
 * The connections to model endpoints: kept alive per origin, TLS always verified, redirects never followed.
 *
 * A request is written at the end of its turn: an idle connection that upstream has meanwhile closed is known to be
 * closed by then, and no call is lost on it.
 */
import { MINUTE, SECOND } from '../base/clock.ts'
import { atEndOfTurn } from '../base/turn.ts'
import { UpstreamCall } from './call.ts'
import { Connection, type Origin, type Patience, type UpstreamRequest } from './connection.ts'

/** Milliseconds; each may take up to a second longer. */
export interface Timeouts {
  readonly connect: number
  /** A long completion without streaming sends its head at the very end. */
  readonly head: number
  /** Between two chunks; there is none for the whole. */
  readonly body: number
  readonly idle: number
}

export const TIMEOUTS: Timeouts = {
  connect: 10 * SECOND,
  head: 10 * MINUTE,
  body: 5 * MINUTE,
  idle: 4 * SECOND,
}

interface Pooled extends Origin {
  /** The one used last is last. */
  readonly idle: Connection[]
}

export class UpstreamPool {
  readonly #origins = new Map<string, Pooled>()
  readonly #connections = new Set<Connection>()
  readonly #patience: Patience
  readonly #clock: NodeJS.Timeout

  constructor(timeouts: Timeouts = TIMEOUTS) {
    const { connect, head, body, idle } = timeouts
    const tickMs = Math.min(SECOND, connect, head, body, idle)
    const ticks = (ms: number) => Math.ceil(ms / tickMs)
    this.#patience = {
      connect: ticks(connect),
      head: ticks(head),
      body: ticks(body),
      idle: ticks(idle),
      perSecond: SECOND / tickMs,
    }
    // Ticks are counted, not time: a process that was stopped for an hour has waited for one tick.
    this.#clock = setInterval(() => {
      for (const connection of this.#connections) connection.tick()
    }, tickMs).unref()
  }

  /** Sends once; never again by itself. */
  send(request: UpstreamRequest): UpstreamCall {
    const call = new UpstreamCall(request)
    atEndOfTurn(() => {
      if (!call.isOver) call.sendOn(this.#connectionTo(request.origin))
    })
    return call
  }

  /** Cuts every connection. */
  destroy(): void {
    clearInterval(this.#clock)
    for (const connection of this.#connections) connection.destroy(new Error('the pool is closed'))
  }

  #connectionTo(url: string): Connection {
    const origin = this.#origin(url)
    for (;;) {
      const idle = origin.idle.pop()
      if (!idle) return this.#open(origin)
      if (!idle.isClosed) return idle
    }
  }

  #open(origin: Pooled): Connection {
    const connection = new Connection(origin, this.#patience, {
      onIdle: (idle) => origin.idle.push(idle),
      onClose: (closed) => {
        this.#connections.delete(closed)
        const at = origin.idle.indexOf(closed)
        if (at !== -1) origin.idle.splice(at, 1)
      },
    })
    this.#connections.add(connection)
    return connection
  }

  #origin(url: string): Pooled {
    let origin = this.#origins.get(url)
    if (!origin) {
      origin = { url: new URL(url), session: undefined, idle: [] }
      this.#origins.set(url, origin)
    }
    return origin
  }
}
