/**
 * Signatures that tie what is in a row together: whoever can only write to the database makes none.
 */
import { BrokerError } from '../base/errors.ts'
import type { KeyRing } from './key-ring.ts'

export class Seals {
  readonly #keyRing: KeyRing
  #isEnforced = false

  constructor(keyRing: KeyRing) {
    this.#keyRing = keyRing
  }

  /** Rows without a seal are refused from now on. Never taken back while this process lives. */
  enforce(): void {
    this.#isEnforced = true
  }

  get isEnforced(): boolean {
    return this.#isEnforced
  }

  /** @param fields the table first */
  sign(fields: readonly unknown[]): string {
    return this.#keyRing.sign(fields)
  }

  /** Whether they are as they were signed, or nobody knows of seals yet. */
  holds(fields: readonly unknown[], seal: string | null): boolean {
    return !this.#isEnforced || (seal !== null && this.#keyRing.hasSigned(fields, seal))
  }

  /** @param what of the row, for the log. @throws BrokerError decryption_failed */
  check(fields: readonly unknown[], seal: string | null, what: string): void {
    if (this.holds(fields, seal)) return
    throw new BrokerError('decryption_failed', {
      detail: `somebody without the encryption key changed the ${what} of this row`,
    })
  }
}
