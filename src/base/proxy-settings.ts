/**
 * `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`: the way out of a network that has one.
 *
 * Also in lower case, as other programs have them; the lower case wins where both are set, as in curl and Python,
 * and an empty one means none.
 */
import { ConfigError, type Environment, secretOf } from './environment.ts'
import type { Secret } from './secret.ts'

export interface ProxySettings {
  /** For https: and for http: addresses: `http://[user:password@]host[:port]`, or https. */
  readonly forHttps: Secret | undefined
  readonly forHttp: Secret | undefined
  /** As written. */
  readonly noProxy: readonly string[]
}

/** @throws ConfigError */
export function readProxies(env: Environment): ProxySettings {
  return {
    forHttps: proxyOf(env, 'HTTPS_PROXY'),
    forHttp: proxyOf(env, 'HTTP_PROXY'),
    noProxy: (env['no_proxy'] ?? env['NO_PROXY'] ?? '').split(/[\s,]+/).filter((entry) => entry !== ''),
  }
}

function proxyOf(env: Environment, name: string): Secret | undefined {
  const lower = name.toLowerCase()
  const asked = env[lower] === undefined ? name : lower
  if (env[asked] === '') return undefined
  const proxy = secretOf(env, asked)
  if (proxy && !isProxyAddress(proxy.reveal())) {
    throw new ConfigError(
      `${asked} must be an address like http://proxy.example.com:3128; a user and a password before the host are percent-encoded`,
    )
  }
  return proxy
}

/** @throws TypeError, URIError. A host and a port alone mean http. */
export function parseProxyAddress(text: string): { url: URL; user: string; password: string } {
  const url = new URL(text.includes('://') ? text : `http://${text}`)
  return { url, user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }
}

export function isProxyAddress(text: string): boolean {
  try {
    const { url, user } = parseProxyAddress(text)
    const isPlain = url.pathname === '/' && url.search === '' && url.hash === ''
    // The name ends at a colon (RFC 7617 §2).
    return /^https?:$/.test(url.protocol) && url.hostname !== '' && isPlain && !user.includes(':')
  } catch {
    return false
  }
}
