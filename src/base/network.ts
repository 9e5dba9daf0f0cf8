/**
 * Which callers are one for a limit: an IPv4 address, or an IPv6 /64, which is what one customer is given at least.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net'

const IPV4_AND_PORT = /^([\d.]+):\d+$/
const PREFIX_GROUPS = 4
const GROUPS = 8

/** @param ip as a proxy may have written it; what is no address at all is one caller */
export function networkOf(ip: string): string {
  const bare = IPV4_AND_PORT.exec(ip)?.[1] ?? ip.split('%')[0] ?? ''
  if (isIPv4(bare)) return bare
  if (!isIPv6(bare)) return 'unknown'
  const groups = groupsOf(bare)
  const [high = 0, low = 0] = groups.slice(6)
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  if (isMapped) return [high >> 8, high & 255, low >> 8, low & 255].join('.')
  return `${groups
    .slice(0, PREFIX_GROUPS)
    .map((group) => group.toString(16))
    .join(':')}::/64`
}

/** The URL parser writes every spelling of an address alike: lower case, no leading zeros, one `::`. */
function groupsOf(ip: string): number[] {
  const [left = '', right] = new URL(`http://[${ip}]/`).hostname.slice(1, -1).split('::')
  const numbers = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const before = numbers(left)
  const after = numbers(right ?? '')
  return [...before, ...Array<number>(GROUPS - before.length - after.length).fill(0), ...after]
}

/** Of `URL.hostname`. */
export const LOOPBACK = /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/

/** What the registries of special-purpose addresses keep for networks of one's own, for one host, or for examples (RFC 6890). */
const NOT_PUBLIC_IPV4 = networks('ipv4', [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24'],
  ...['203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
])
/** Of IPv6 only this is given out to the public, */
const GLOBAL_IPV6 = networks('ipv6', ['2000::/3'])
/** but for protocols, examples, and what leads to an IPv4 address. */
const NOT_PUBLIC_IPV6 = networks('ipv6', ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'])

function networks(family: 'ipv4' | 'ipv6', all: readonly string[]): BlockList {
  const list = new BlockList()
  for (const one of all) {
    const [address = '', bits] = one.split('/')
    list.addSubnet(address, Number(bits), family)
  }
  return list
}

/** Whether anybody in the world may have this address: neither this host, nor a network of its own, nor nobody. */
export function isPublicAddress(ip: string): boolean {
  if (isIPv4(ip)) return !NOT_PUBLIC_IPV4.check(ip, 'ipv4')
  return isIPv6(ip) && GLOBAL_IPV6.check(ip, 'ipv6') && !NOT_PUBLIC_IPV6.check(ip, 'ipv6')
}
