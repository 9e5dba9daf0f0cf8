/**
 * Plaintext in, sealed text out: the keys of TOKEN_ENCRYPTION_KEY, the first of which encrypts while all decrypt,
 * so that a key can be replaced while the broker runs.
 */
import { timingSafeEqual } from 'node:crypto'
import { encryptionKeyId } from '../base/encryption-keys.ts'
import { BrokerError } from '../base/errors.ts'
import type { Secret } from '../base/secret.ts'
import { FernetKey } from './fernet.ts'

export class KeyRing {
  /** Of the key that encrypts. */
  readonly currentId: string
  readonly #current: FernetKey
  readonly #keys: readonly FernetKey[]

  /** @param keys at least one; see {@link FernetKey} for the form */
  constructor(keys: readonly Secret[]) {
    this.#keys = keys.map((key) => new FernetKey(key.reveal()))
    const [current] = this.#keys
    const [first] = keys
    if (!current || !first) throw new TypeError('a key ring needs at least one key')
    this.#current = current
    this.currentId = encryptionKeyId(first)
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

  /** A signature over the fields, in their order and with their types. */
  sign(fields: readonly unknown[]): string {
    return this.#current.sign(JSON.stringify(fields))
  }

  /** Whether one of the keys made this signature over these fields. */
  hasSigned(fields: readonly unknown[], signature: string): boolean {
    const text = JSON.stringify(fields)
    return this.#keys.some((key) => isEqual(key.sign(text), signature))
  }

  /** False for values an older key sealed: these are to be sealed anew before that key may go. */
  isCurrent(sealed: string): boolean {
    return this.#current.decrypt(sealed) !== undefined
  }
}

/** In constant time. */
function isEqual(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
}
