/**
 * SHA-256 in hex: what a secret is found by where it must not be kept.
 */
import { hash } from 'node:crypto'

export function sha256(text: string): string {
  return hash('sha256', text, 'hex')
}
