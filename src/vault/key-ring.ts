/**
 * Plaintext in, sealed text out: the keys of TOKEN_ENCRYPTION_KEY, the first of which encrypts while all decrypt,
 * so that a key can be replaced while the broker runs.
 */
import { BrokerError } from '../base/errors.ts'
import type { Secret } from '../base/secret.ts'
import { FernetKey } from './fernet.ts'

export class KeyRing {
  readonly #current: FernetKey
  readonly #keys: readonly FernetKey[]

  /** @param keys at least one; see {@link FernetKey} for the form */
  constructor(keys: readonly Secret[]) {
    this.#keys = keys.map((key) => new FernetKey(key.reveal()))
    const [current] = this.#keys
    if (!current) throw new TypeError('a key ring needs at least one key')
    this.#current = current
  }

  seal(plaintext: string): string {
    return this.#current.encrypt(plaintext)
  }

  /** @throws BrokerError decryption_failed, never with the value */
  open(sealed: string): string {
    for (const key of this.#keys) {
      const plaintext = key.decrypt(sealed)
      if (plaintext !== undefined) return plaintext
    }
    throw new BrokerError('decryption_failed', {
      detail: 'no key of TOKEN_ENCRYPTION_KEY opens a stored value',
    })
  }

  /** False for values an older key sealed: these are to be sealed anew before that key may go. */
  isCurrent(sealed: string): boolean {
    return this.#current.decrypt(sealed) !== undefined
  }
}
