/**
 * The connections to model endpoints: kept alive per origin, TLS always verified, redirects never followed.
 *
 * A request is written at the end of its turn, and a connection can be used again one turn after its answer: one that
 * upstream has meanwhile closed is known to be closed by then, and no call is lost on it.
 */
import { MINUTE, SECOND } from '../base/clock.ts'
import { atEndOfTurn } from '../base/turn.ts'
import { UpstreamCall } from './call.ts'
import { Connection, type Owner, type Patience, type UpstreamRequest } from './connection.ts'

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

export const TIMEOUTS: Timeouts = {
  connect: 10 * SECOND,
  head: 10 * MINUTE,
  body: 5 * MINUTE,
  idle: 4 * SECOND,
}

export class UpstreamPool {
  readonly #origins = new Map<string, Origin>()
  readonly #patience: Patience
  readonly #clock: NodeJS.Timeout

  constructor(timeouts: Timeouts = TIMEOUTS) {
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
    this.#clock = setInterval(() => {
      for (const { open } of this.#origins.values()) for (const connection of open) connection.tick()
    }, tickMs).unref()
  }

  /** Sends once; never again by itself. */
  send(request: UpstreamRequest): UpstreamCall {
    const call = new UpstreamCall(request)
    atEndOfTurn(() => {
      if (!call.isOver) call.sendOn(() => this.#origin(request.origin).take(this.#patience))
    })
    return call
  }

  /** Cuts every connection. */
  destroy(): void {
    clearInterval(this.#clock)
    for (const { open } of this.#origins.values()) {
      for (const connection of open) connection.destroy(new Error('the pool is closed'))
    }
  }

  #origin(url: string): Origin {
    let origin = this.#origins.get(url)
    if (!origin) {
      origin = new Origin(url)
      this.#origins.set(url, origin)
    }
    return origin
  }
}

/** As many connections as there are calls at once; whatever was idle for too long is closed by the clock. */
class Origin implements Owner {
  readonly url: URL
  session: Buffer | undefined = undefined
  readonly open = new Set<Connection>()
  /** The one used last is last. */
  readonly #idle: Connection[] = []

  constructor(url: string) {
    this.url = new URL(url)
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
