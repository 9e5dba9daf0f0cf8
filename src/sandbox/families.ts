/**
 * Token families: all tokens that descend from one authorization (RFC 9700 §4.14.2).
 *
 * A refresh token has two halves. The first names its family and never changes, the second is new with
 * every rotation. So a family is one record however often it rotates, and any older token of it is known
 * for what it is. Only hashes are kept.
 */
import Type from 'typebox'
import { type Clock, SECOND } from '../base/clock.ts'
import type { Counts } from './counts.ts'
import { randomText, sha256 } from './digest.ts'

export const FAMILY = Type.Object({ id: Type.String(), refreshHash: Type.String(), scope: Type.String() })
type Family = Type.Static<typeof FAMILY>

export const ACCESS = Type.Object({
  hash: Type.String(),
  expiresAt: Type.Number(),
  /** null: from client credentials, which have no family. */
  familyId: Type.Union([Type.String(), Type.Null()]),
})
type Access = Type.Static<typeof ACCESS>

export interface Issued {
  readonly accessToken: string
  readonly refreshToken?: string
  readonly scope: string
}

export type RotationRefusal = 'unknown' | 'reused' | 'wrong_scope'

export interface FamiliesOptions {
  readonly clock: Clock
  readonly accessTokenSeconds: number
  readonly counts: Counts
}

const HALF_BYTES = 24
const HALF_LENGTH = 32

export class Families {
  readonly #options: FamiliesOptions
  readonly #families = new Map<string, Family>()
  readonly #access = new Map<string, Access>()

  constructor(options: FamiliesOptions) {
    this.#options = options
  }

  start(scope: string): Issued {
    return this.#issue(randomText(HALF_BYTES), scope)
  }

  /** An access token alone: client credentials get no refresh token (RFC 6749 §4.4.3). */
  startWithoutRefresh(scope: string): Issued {
    return { accessToken: this.#newAccessToken(null), scope }
  }

  /** A refresh token that was used before ends its whole family: one of the two users is a thief. */
  rotate(refreshToken: string, requestedScope: string | undefined): Issued | RotationRefusal {
    const key = refreshToken.slice(0, HALF_LENGTH)
    const family = this.#families.get(sha256(key))
    if (!family) return 'unknown'
    if (sha256(refreshToken) !== family.refreshHash) {
      this.#revokeFamily(family.id)
      return 'reused'
    }
    const granted = family.scope.split(' ')
    if (!(requestedScope ?? family.scope).split(' ').every((word) => granted.includes(word))) {
      return 'wrong_scope'
    }
    return this.#issue(key, family.scope)
  }

  isLive(accessToken: string): boolean {
    const access = this.#access.get(sha256(accessToken))
    return access !== undefined && this.#options.clock() < access.expiresAt
  }

  /** By access or refresh token; an unknown one is not an error (RFC 7009 §2.2). */
  revoke(token: string): void {
    const access = this.#access.get(sha256(token))
    this.#access.delete(sha256(token))
    this.#revokeFamily(access?.familyId ?? sha256(token.slice(0, HALF_LENGTH)))
  }

  revokeAccessTokens(): void {
    this.#access.clear()
  }

  revokeAll(): void {
    this.#access.clear()
    for (const id of [...this.#families.keys()]) this.#revokeFamily(id)
  }

  entries(): { families: Family[]; accessTokens: Access[] } {
    return { families: [...this.#families.values()], accessTokens: [...this.#access.values()] }
  }

  restore(entries: { families: readonly Family[]; accessTokens: readonly Access[] }): void {
    for (const family of entries.families) this.#families.set(family.id, family)
    for (const access of entries.accessTokens) this.#access.set(access.hash, access)
  }

  #issue(key: string, scope: string): Issued {
    const refreshToken = key + randomText(HALF_BYTES)
    const id = sha256(key)
    this.#families.set(id, { id, refreshHash: sha256(refreshToken), scope })
    return { accessToken: this.#newAccessToken(id), refreshToken, scope }
  }

  #newAccessToken(familyId: string | null): string {
    const { clock, accessTokenSeconds } = this.#options
    // All live equally long, so the expired ones are the oldest, and a Map remembers the order.
    for (const old of this.#access.values()) {
      if (clock() < old.expiresAt) break
      this.#access.delete(old.hash)
    }
    const accessToken = randomText(2 * HALF_BYTES)
    const hash = sha256(accessToken)
    this.#access.set(hash, { hash, expiresAt: clock() + accessTokenSeconds * SECOND, familyId })
    return accessToken
  }

  #revokeFamily(id: string): void {
    if (!this.#families.delete(id)) return
    this.#options.counts.familiesRevoked += 1
    for (const access of this.#access.values()) if (access.familyId === id) this.#access.delete(access.hash)
  }
}
