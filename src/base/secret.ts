/**
 * A value that does not print.
 *
 * Knows nothing of what it holds; it only makes sure that logs, errors, templates and JSON show a mask.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { inspect } from 'node:util'

export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The plain value. Call it where the value leaves the process or is sealed, nowhere else. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}

/**
 * First 8 and last 4 characters: the only form in which a token may appear in a log (docs/conformance.md).
 * Shorter values than 24 characters are hidden whole, because 12 visible ones would be most of them.
 */
export function mask(token: string): string {
  return token.length < 24 ? '…' : `${token.slice(0, 8)}…${token.slice(-4)}`
}

/** Digests are compared, so that neither length nor content shows in the time it takes. */
export function isSame(presented: string, expected: string): boolean {
  return timingSafeEqual(hash('sha256', presented, 'buffer'), hash('sha256', expected, 'buffer'))
}
