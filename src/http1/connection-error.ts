export type Wait = 'connect' | 'head' | 'body' | 'idle'

/** Tells an operator by its code what happened. */
export class ConnectionError extends Error {
  readonly code: string

  constructor(code: string, message?: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/** Its code: CONNECT_TIMEOUT, HEAD_TIMEOUT, BODY_TIMEOUT or IDLE_TIMEOUT. */
export class WaitedTooLong extends ConnectionError {
  constructor(wait: Wait) {
    super(`${wait.toUpperCase()}_TIMEOUT`)
  }
}
