/**
 * Random texts, and the SHA-256 under which they are kept.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** 24 bytes are 32 characters of base64url. */
export function randomText(bytes: number): string {
  return randomBytes(bytes).toString('base64url')
}

/** As base64url, so it is also the S256 transformation of PKCE (RFC 7636 §4.2). */
export function sha256(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('base64url')
}

/** Compares in constant time; hashing first makes the lengths equal. */
export function isSame(one: string, other: string): boolean {
  return timingSafeEqual(Buffer.from(sha256(one)), Buffer.from(sha256(other)))
}
