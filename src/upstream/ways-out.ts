/**
 * The way out to each provider: through which proxy, and with which certificates, as its file says.
 */
import { confined, NO_PROXY, type ProxyFor, toProxy } from '../http1/egress-proxy.ts'
import { TlsIdentity } from '../http1/tls-identity.ts'
import type { Egress } from '../provider/egress.ts'

export interface WayOut {
  readonly proxyFor: ProxyFor
  /** Undefined: the system's authorities, and nothing to show. */
  readonly tls: TlsIdentity | undefined
}

export class WaysOut {
  readonly #general: WayOut
  readonly #others = new Map<string, WayOut>()

  /** @param proxyFor of everybody whose file says nothing */
  constructor(proxyFor: ProxyFor) {
    this.#general = { proxyFor, tls: undefined }
  }

  of(egress: Egress | undefined): WayOut {
    if (!egress) return this.#general
    let way = this.#others.get(egress.key)
    if (!way) {
      way = { proxyFor: this.#proxyFor(egress), tls: egress.tls && new TlsIdentity(egress.tls) }
      this.#others.set(egress.key, way)
    }
    return way
  }

  #proxyFor(egress: Egress): ProxyFor {
    const proxyFor = this.#named(egress)
    return egress.isConfined ? confined(proxyFor) : proxyFor
  }

  #named({ proxy }: Egress): ProxyFor {
    if (proxy === undefined) return this.#general.proxyFor
    if (proxy === 'none') return NO_PROXY
    const through = toProxy(proxy)
    return () => through
  }
}
