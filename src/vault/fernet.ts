/**
 * Fernet, version 0x80 (https://github.com/fernet/spec): AES-128-CBC, then HMAC-SHA256 over everything before it.
 *
 * token = base64url( 0x80 ‖ seconds since the epoch, 64 bit ‖ IV, 16 bytes ‖ ciphertext ‖ HMAC, 32 bytes )
 *
 * Values written here are read by Python's `cryptography` and the other way round.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'

const VERSION = 0x80
const HEADER_BYTES = 9
const IV_BYTES = 16
const BLOCK_BYTES = 16
const HMAC_BYTES = 32
const MIN_BYTES = HEADER_BYTES + IV_BYTES + BLOCK_BYTES + HMAC_BYTES

/** A 256-bit key: the first half signs, the second encrypts. */
export class FernetKey {
  readonly #signing: KeyObject
  readonly #encryption: KeyObject
  /** Signs what is no Fernet token. Derived, so that neither can be taken for the other (RFC 5869). */
  readonly #fieldSigning: KeyObject

  /** @param text 32 bytes as base64url with padding, 44 characters */
  constructor(text: string) {
    const key = decodeBase64Url(text)
    if (key?.length !== 32) throw new TypeError('a Fernet key is 32 bytes, base64url')
    // Made once: from bytes Node makes one anew each time, which takes longer than the work itself.
    this.#signing = createSecretKey(key.subarray(0, 16))
    this.#encryption = createSecretKey(key.subarray(16))
    this.#fieldSigning = createSecretKey(
      Buffer.from(hkdfSync('sha256', key, '', 'token-broker row seal', 32)),
    )
  }

  /** `now` in milliseconds and `iv` are given only by tests of the specification's vectors. */
  encrypt(plaintext: string, now: number = Date.now(), iv: Buffer = randomBytes(IV_BYTES)): string {
    const header = Buffer.alloc(HEADER_BYTES)
    header.writeUInt8(VERSION, 0)
    header.writeBigUInt64BE(BigInt(Math.floor(now / 1000)), 1)
    const cipher = createCipheriv('aes-128-cbc', this.#encryption, iv)
    const signed = Buffer.concat([header, iv, cipher.update(plaintext, 'utf8'), cipher.final()])
    return encodeBase64Url(Buffer.concat([signed, this.#hmac(signed)]))
  }

  /** The plaintext, or undefined if this key did not make the token or somebody changed it. */
  decrypt(token: string): string | undefined {
    const bytes = decodeBase64Url(token)
    if (!bytes || bytes.length < MIN_BYTES || bytes[0] !== VERSION) return undefined
    const signed = bytes.subarray(0, -HMAC_BYTES)
    if (!timingSafeEqual(this.#hmac(signed), bytes.subarray(-HMAC_BYTES))) return undefined
    const iv = signed.subarray(HEADER_BYTES, HEADER_BYTES + IV_BYTES)
    const decipher = createDecipheriv('aes-128-cbc', this.#encryption, iv)
    try {
      return (
        decipher.update(signed.subarray(HEADER_BYTES + IV_BYTES), undefined, 'utf8') + decipher.final('utf8')
      )
    } catch {
      return undefined // signed with this key, yet badly padded: not a Fernet token
    }
  }

  /** HMAC-SHA256 under a derived key, base64url. */
  sign(text: string): string {
    return createHmac('sha256', this.#fieldSigning).update(text).digest('base64url')
  }

  #hmac(bytes: Buffer): Buffer {
    return createHmac('sha256', this.#signing).update(bytes).digest()
  }
}

/** A fresh random key in its textual form. */
export function generateFernetKey(): string {
  return encodeBase64Url(randomBytes(32))
}

/** Node's base64url leaves the padding out; the specification wants it. */
function encodeBase64Url(bytes: Buffer): string {
  const text = bytes.toString('base64url')
  return text + '='.repeat((4 - (text.length % 4)) % 4)
}

/** Strict: Node skips characters it does not know, so only a text that encodes back to itself counts. */
function decodeBase64Url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return encodeBase64Url(bytes) === text ? bytes : undefined
}
