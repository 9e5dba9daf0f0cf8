/**
 * A credential: the tokens or the key we hold for one model config, decrypted, as they were at one version.
 *
 * Immutable. A refresh makes a new one with a higher version; nobody changes this one under a running request.
 */
import { createHash } from 'node:crypto'
import type { Provider } from '../base/provider.ts'

export type CredentialState = 'active' | 'refreshing' | 'uncertain' | 'reauth_required' | 'missing'

export interface Credential {
  readonly configId: string
  readonly provider: Provider
  /** Rises with every write of tokens. 0 for API keys, which never change. */
  readonly version: number
  readonly state: CredentialState
  /** What upstream gets as bearer: an access token, a session token or an API key. '' while there is none. */
  readonly accessToken: string
  readonly refreshToken: string | undefined
  readonly tokenType: string
  readonly scope: string | undefined
  /** Epoch ms; undefined where nobody said. */
  readonly expiresAt: number | undefined
  /** Epoch ms at which we obtained the tokens; undefined where somebody handed them to us. */
  readonly refreshedAt: number | undefined
  readonly metadata: { readonly [name: string]: unknown }
  /** The config's own base URL ('' for OAuth providers). */
  readonly baseUrl: string

  readonly attemptId: string | undefined
  readonly lastAttemptId: string | undefined
  /** The lease was held when the row was read, by the database's clock. */
  readonly leaseIsLive: boolean
  /** Epoch ms before which no refresh may start (back-off). */
  readonly nextAttemptAt: number
  readonly lastError: string | undefined
}

/** Where upstream may be, if the token says so (`resource_url` survives a refresh that omits it). */
export function resourceUrlOf(credential: Pick<Credential, 'metadata'>): string | undefined {
  const value = credential.metadata['resource_url']
  return typeof value === 'string' ? value : undefined
}

/** Whether there is anything to renew it with. */
export function isRenewable(credential: Credential): boolean {
  if (credential.provider.kind === 'device_code') return credential.refreshToken !== undefined
  return credential.provider.kind !== 'api_key'
}

/** What decides when to renew. */
export type Lifetime = Pick<Credential, 'provider' | 'expiresAt' | 'refreshedAt'>

/**
 * True from `before_seconds` ahead of expiry on, but never in the first half of a known lifetime: a token that
 * lives 60 s would else be due from birth (interface.md §6).
 */
export function isDue(credential: Lifetime, now: number): boolean {
  if (credential.expiresAt === undefined) return false
  return now > credential.expiresAt - leadTimeMs(credential)
}

/** How long before expiry the inline path begins to renew, in ms. */
export function leadTimeMs({ provider, expiresAt, refreshedAt }: Lifetime): number {
  const before =
    provider.kind === 'session' && provider.session
      ? provider.session.refreshBeforeMs
      : provider.refresh.beforeMs
  if (expiresAt === undefined || refreshedAt === undefined) return before
  return Math.min(before, (expiresAt - refreshedAt) / 2)
}

/** True while upstream should still accept the access token: to its real end. */
export function isUsable(credential: Credential, now: number): boolean {
  return credential.accessToken !== '' && (credential.expiresAt === undefined || now < credential.expiresAt)
}

/** Tells refresh tokens apart without showing them. */
export function fingerprint(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
