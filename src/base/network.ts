/**
 * Which callers are one for a limit: an IPv4 address, or an IPv6 /64, which is what one customer is given at least.
 */
import { isIPv4, isIPv6 } from 'node:net'

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
