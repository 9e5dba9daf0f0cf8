/**
 * Where the broker is reached, by whom, and whom it tells: `PUBLIC_URL`, `CORS_ORIGINS`, `TRUSTED_PROXIES`,
 * `WEBHOOK_URL`.
 */
import { isIP } from 'node:net'
import { ConfigError, type Environment, listOf, secretOf } from '../base/environment.ts'

/** First segments of paths that are the broker's own: below one of these nobody could tell which is meant. */
const OWN_SEGMENTS = [
  'api',
  'assets',
  'c',
  'docs',
  'health',
  'login',
  'metrics',
  'oauth',
  'openapi.json',
  'v1',
]

/** `basePath` is '' or begins with a slash and ends without one. */
export function publicUrlOf(env: Environment): { publicUrl: string | undefined; basePath: string } {
  const text = env['PUBLIC_URL']
  if (text === undefined) return { publicUrl: undefined, basePath: '' }
  const url = URL.canParse(text) ? new URL(text) : undefined
  const basePath = url?.pathname.replace(/\/+$/, '') ?? ''
  const isPlain = url && !url.username && !url.password && !url.search && !url.hash
  if (!isPlain || !/^https?:$/.test(url.protocol) || !/^(?:\/[A-Za-z0-9._~-]+)*$/.test(basePath)) {
    throw new ConfigError(
      'PUBLIC_URL must be an address like https://broker.example.com or https://example.com/llm',
    )
  }
  if (OWN_SEGMENTS.includes(basePath.slice(1))) {
    throw new ConfigError(`PUBLIC_URL must have another path: ${basePath} is one of the broker's own`)
  }
  return { publicUrl: url.origin + basePath, basePath }
}

/** In lower case, as they are compared. Browsers send them without a path; of apps' schemes `URL` knows no origin. */
export function corsOriginsOf(env: Environment): string[] {
  return listOf(env, 'CORS_ORIGINS').map((written) => {
    const origin = written.toLowerCase().replace(/\/$/, '')
    const isOrigin = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@\\*,]+$/.test(origin) && URL.canParse(origin)
    if (!isOrigin || origin.startsWith('file:')) {
      throw new ConfigError(
        'CORS_ORIGINS must be a comma-separated list of origins like https://app.example.com or app://obsidian.md; null, * and paths are refused',
      )
    }
    const known = new URL(origin).origin
    return known === 'null' ? origin : known
  })
}

export function webhookOf(env: Environment) {
  const url = env['WEBHOOK_URL']
  const webhookSecret = secretOf(env, 'WEBHOOK_SECRET')
  if (url === undefined) return { webhookUrl: undefined, webhookSecret }
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol !== 'https:' && parsed?.protocol !== 'http:') {
    throw new ConfigError('WEBHOOK_URL must be an http or https URL')
  }
  if (!webhookSecret) throw new ConfigError('WEBHOOK_SECRET must be set when WEBHOOK_URL is')
  return { webhookUrl: url, webhookSecret }
}

/**
 * CIDR networks and single addresses. Trusting everybody, or half of everybody, would let a caller choose its own
 * address, and with it its rate limit.
 */
export function trustedProxiesOf(env: Environment): string[] {
  const networks = listOf(env, 'TRUSTED_PROXIES')
  const ranges = networks.map(rangeOf)
  if (coversHalf(ranges, IPV4) || coversHalf(ranges, IPV6)) {
    throw new ConfigError(
      'TRUSTED_PROXIES must not cover half of all addresses or more: name the networks of your own proxies',
    )
  }
  return networks
}

/** First and last address, as numbers of 128 bits. */
type Range = readonly [first: bigint, last: bigint]

const IPV6: Range = [0n, (1n << 128n) - 1n]
/** IPv4 as IPv6 writes it (RFC 4291 §2.5.5.2): a network of either kind is compared with addresses of both. */
const IPV4: Range = [0xffff_0000_0000n, 0xffff_ffff_ffffn]

function rangeOf(network: string): Range {
  const [address = '', bits, ...rest] = network.split('/')
  const family = isIP(address)
  const width = family === 6 ? 128 : 32
  const isValid =
    family !== 0 &&
    !address.includes('%') &&
    (bits === undefined || (/^\d{1,3}$/.test(bits) && +bits <= width))
  if (!isValid || rest.length > 0) {
    throw new ConfigError(
      'TRUSTED_PROXIES must be a comma-separated list of networks like 10.0.0.0/8; true and a number are refused',
    )
  }
  const size = 1n << BigInt(width - Number(bits ?? width))
  const number = numberOf(family === 6 ? address : `::ffff:${address}`)
  const first = number - (number % size)
  return [first, first + size - 1n]
}

function numberOf(address: string): bigint {
  const [before = '', after] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':'))
  const [left, right] = [groups(before), groups(after ?? '')]
  const all = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right]
  return BigInt(`0x${all.map((group) => group.padStart(4, '0')).join('')}`)
}

function coversHalf(ranges: readonly Range[], [from, to]: Range): boolean {
  let covered = 0n
  let next = from
  for (const [first, last] of [...ranges].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const start = first > next ? first : next
    const end = last < to ? last : to
    if (end < start) continue
    covered += end - start + 1n
    next = end + 1n
  }
  return covered * 2n >= to - from + 1n
}
