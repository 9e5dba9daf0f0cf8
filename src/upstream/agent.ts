/**
 * For single questions: logins and refreshes, doctor, the connection test, the webhook. Calls of clients go through
 * the pool.
 */
import { Agent, type buildConnector } from 'undici'
import { SECOND } from '../base/clock.ts'
import type { ProxyFor } from '../http1/egress-proxy.ts'
import { NeverConnected } from '../http1/never-connected.ts'
import { openSocket } from '../http1/open-socket.ts'
import type { TlsIdentity } from '../http1/tls-identity.ts'
import type { Egress } from '../provider/egress.ts'
import { type WayOut, WaysOut } from './ways-out.ts'

const CONNECT_TIMEOUT_MS = 10 * SECOND
const LOGIN_CONNECT_TIMEOUT_MS = 5 * SECOND
/** Some hand out their tokens in a header, and these are as long as any. */
const MAX_HEADER_BYTES = 64 * 1024

export function createAgent(proxyFor: ProxyFor, tls?: TlsIdentity): Agent {
  return new Agent({ connect: connector({ proxyFor, tls }, CONNECT_TIMEOUT_MS) })
}

/**
 * For those who issue tokens: a connection for each request. On a kept-alive one the server may hang up just as we
 * write, and then nobody can tell whether a refresh token was spent.
 */
export function createLoginAgent(proxyFor: ProxyFor, tls?: TlsIdentity): Agent {
  const connect = connector({ proxyFor, tls }, LOGIN_CONNECT_TIMEOUT_MS)
  return new Agent({ pipelining: 0, maxHeaderSize: MAX_HEADER_BYTES, connect })
}

/** One for each way out, made when it is first needed. */
export class Agents {
  readonly #create: (proxyFor: ProxyFor, tls?: TlsIdentity) => Agent
  readonly #waysOut: WaysOut
  readonly #agents = new Map<string, Agent>()

  constructor(create: (proxyFor: ProxyFor, tls?: TlsIdentity) => Agent, proxyFor: ProxyFor) {
    this.#create = create
    this.#waysOut = new WaysOut(proxyFor)
  }

  /** @param egress undefined: as everything else leaves */
  of(egress?: Egress): Agent {
    const key = egress?.key ?? ''
    let agent = this.#agents.get(key)
    if (!agent) {
      const { proxyFor, tls } = this.#waysOut.of(egress)
      agent = this.#create(proxyFor, tls)
      this.#agents.set(key, agent)
    }
    return agent
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()))
  }
}

function connector({ proxyFor, tls }: WayOut, timeoutMs: number): buildConnector.connector {
  return ({ protocol, host }, callback) => {
    const target = new URL(`${protocol}//${host}`)
    const opening = openSocket(
      target,
      proxyFor(target),
      { tls },
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
