/**
 * `upstream.pass_headers` of a provider file: which of a client's headers go up beyond the common ones. A name, or the
 * beginning of names with `*` behind it.
 */

/** Keys, cookies, the broker's own, and what is for one hop only (RFC 9110 §7.6.1): these never go up. */
const NEVER: ReadonlySet<string> = new Set([
  'api-key',
  'authorization',
  'connection',
  'content-length',
  'cookie',
  'cookie2',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-api-key',
  'x-csrf-token',
])
const NEVER_PREFIXES = ['x-token-broker-', 'sec-websocket-'] as const
/** Other spellings of a key: `x-goog-api-key`, `x-amz-security-token`, `ocp-apim-subscription-key`. */
const HOLDS_A_KEY =
  /(?:^|-)(?:api-?key|subscription-key|auth(?:orization)?|(?:auth|access|security|id)-token)$/

export class PassHeaders {
  readonly #names: ReadonlySet<string>
  readonly #prefixes: readonly string[]

  /** @param patterns as the file has them; none of which {@link neverPasses} */
  constructor(patterns: readonly string[]) {
    const lower = patterns.map((pattern) => pattern.toLowerCase())
    this.#names = new Set(lower.filter((pattern) => !pattern.endsWith('*')))
    this.#prefixes = lower.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1))
  }

  /** @param name in lower case */
  includes(name: string): boolean {
    if (this.#names.has(name)) return true
    return this.#prefixes.some((prefix) => name.startsWith(prefix)) && !neverPasses(name)
  }
}

/** Whether no file may name this header. */
export function neverPasses(name: string): boolean {
  const lower = name.toLowerCase()
  return (
    NEVER.has(lower) || HOLDS_A_KEY.test(lower) || NEVER_PREFIXES.some((prefix) => lower.startsWith(prefix))
  )
}
