/**
 * Which addresses a secret may be sent to.
 */
import { LOOPBACK } from '../base/network.ts'
import { ProviderMistake } from './provider-mistake.ts'

/** The address that a file names at a path, checked. @throws ProviderMistake */
export type Address = (text: string | undefined, ...path: string[]) => string | undefined

/** Of an http address. */
export function placeOf({ hostname, port }: URL): string {
  return `${hostname}:${port || 80}`
}

/**
 * What is wrong with an address we would send a secret to, or undefined.
 * Only https; http on loopback where allowed, and on hosts that are named. No user info, query or fragment.
 */
export function addressProblem(
  text: string,
  allowsInsecureLoopback: boolean,
  httpHosts?: ReadonlySet<string>,
): string | undefined {
  if (!URL.canParse(text)) return 'is not a URL; write e.g. https://host/path'
  const parsed = new URL(text)
  if (parsed.username || parsed.password) return 'must not hold a user name or password'
  if (parsed.search || parsed.hash) return 'must not hold a query or fragment'
  if (parsed.protocol === 'https:') return undefined
  if (parsed.protocol === 'http:' && httpHosts?.has(placeOf(parsed))) return undefined
  if (parsed.protocol === 'http:' && LOOPBACK.test(parsed.hostname)) {
    return allowsInsecureLoopback
      ? undefined
      : 'must be https (http on loopback needs allow_insecure_loopback: true)'
  }
  return 'must be https'
}

/** As {@link addressProblem} compares them. @throws ProviderMistake */
export function toHttpHosts(given: readonly string[] = []): ReadonlySet<string> {
  const hosts = given.map((host, index) => {
    if (URL.canParse(`http://${host}`)) return placeOf(new URL(`http://${host}`))
    throw new ProviderMistake(['upstream', 'allow_http_hosts', String(index)], 'is not a host and a port')
  })
  return new Set(hosts)
}
