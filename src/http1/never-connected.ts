/**
 * A connection that never stood: nothing was sent on it, so nobody can have acted on anything.
 */
export class NeverConnected extends Error {
  override readonly name = 'NeverConnected'
  /** Tells an operator why: the system's own code (ECONNREFUSED), or what the proxy did (proxy_refused 407). */
  readonly code: string

  constructor(code: string, cause?: unknown) {
    super(code, { cause })
    this.code = code
  }
}
