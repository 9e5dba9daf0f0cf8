/**
 * Which proxy an address is reached through, if any.
 */
import { BlockList, isIP } from 'node:net'
import { type ProxySettings, parseProxyAddress } from '../base/proxy-settings.ts'
import type { Secret } from '../base/secret.ts'

export interface EgressProxy {
  readonly url: URL
  /** The value of `Proxy-Authorization`. */
  readonly authorization: string | undefined
}

/** Without a proxy, but to public addresses only; or not at all, where a proxy would look the name up. */
export type Confined = 'public only' | 'nowhere'

/** Undefined: straight there. */
export type ProxyFor = (target: URL) => EgressProxy | Confined | undefined

/** Straight to wherever it goes. */
export const NO_PROXY: ProxyFor = () => undefined

/** Loopback never goes through a proxy, whose loopback is another one. */
export function chooseProxy({
  forHttps,
  forHttp,
  noProxy,
}: ProxySettings): (target: URL) => EgressProxy | undefined {
  const [https, http] = [forHttps && toProxy(forHttps), forHttp && toProxy(forHttp)]
  if (!https && !http) return () => undefined
  const exceptions = [LOOPBACK, ...noProxy.map(toException)]
  return (target) => {
    const proxy = target.protocol === 'https:' || target.protocol === 'wss:' ? https : http
    if (!proxy) return undefined
    const host = bareHost(target.hostname)
    const port = target.port || (target.protocol === 'https:' || target.protocol === 'wss:' ? '443' : '80')
    return exceptions.some((covers) => covers(host, port)) ? undefined : proxy
  }
}

/** For hosts that no author and no operator has named. */
export function confined(proxyFor: ProxyFor): ProxyFor {
  return (target) => (proxyFor(target) === undefined ? 'public only' : 'nowhere')
}

/** @param setting an address that `isProxyAddress` takes */
export function toProxy(setting: Secret): EgressProxy {
  const { url, user, password } = parseProxyAddress(setting.reveal())
  const credentials = Buffer.from(`${user}:${password}`).toString('base64')
  return { url: new URL(url.origin), authorization: user || password ? `Basic ${credentials}` : undefined }
}

type Exception = (host: string, port: string) => boolean

const LOOPBACK_ADDRESSES = new BlockList()
LOOPBACK_ADDRESSES.addSubnet('127.0.0.0', 8)
LOOPBACK_ADDRESSES.addAddress('::1', 'ipv6')

/** Names below `localhost` are loopback, too (RFC 6761 §6.3). */
const LOOPBACK: Exception = (host) => /(?:^|\.)localhost$/.test(host) || isIn(LOOPBACK_ADDRESSES, host)

/**
 * One entry of NO_PROXY: `*`, an address, a network (`10.0.0.0/8`), or a name, which stands for itself and for all
 * names below it, with or without `.` or `*.` in front; each but a network also with `:port`.
 */
function toException(entry: string): Exception {
  if (entry === '*') return () => true
  const network = toNetwork(entry)
  if (network) return (host) => isIn(network, host)
  const [, written = '', only] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [entry, entry]
  const name = bareHost(written.toLowerCase().replace(/^\*?\./, ''))
  const address = toNetwork(name)
  return (host, port) =>
    (only === undefined || only === port) &&
    (address ? isIn(address, host) : host === name || host.endsWith(`.${name}`))
}

/** An address or a network, undefined for everything else. */
function toNetwork(text: string): BlockList | undefined {
  const [written = '', bits, ...rest] = text.split('/')
  const address = bareHost(written)
  const version = isIP(address)
  const max = version === 6 ? 128 : 32
  if (version === 0 || rest.length > 0) return undefined
  if (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= max)) return undefined
  const network = new BlockList()
  network.addSubnet(address, Number(bits ?? max), version === 6 ? 'ipv6' : 'ipv4')
  return network
}

function isIn(network: BlockList, host: string): boolean {
  const version = isIP(host)
  return version !== 0 && network.check(host, version === 6 ? 'ipv6' : 'ipv4')
}

/** Without the brackets of an IPv6 address and the dot at the end of an absolute name. */
export function bareHost(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
}
