/**
 * A credential: the tokens or the key we hold for one model config, decrypted, as they were at one version.
 *
 * Immutable. A refresh makes a new one with a higher version; nobody changes this one under a running request.
 */
import { createHash } from 'node:crypto'
import type { AwsKeys } from '../base/aws-signature.ts'
import { followedBy, type TokenSet } from '../oauth/token-response.ts'
import type { Provider } from '../provider/provider.ts'
import { isLogin, renewalClass } from '../provider/renewal-class.ts'
import { accessTo, type UpstreamAccess } from '../upstream/access.ts'

export type CredentialState =
  | 'active'
  | 'refreshing'
  | 'uncertain'
  /** A server refuses what the config was given; the tokens there are serve to their end. */
  | 'refused'
  | 'reauth_required'
  | 'missing'

export interface Credential extends Standing {
  readonly configId: string
  readonly provider: Provider
  readonly state: CredentialState
  /** `accessToken` is what upstream gets: an access token, a session token or an API key. '' while there is none. */
  readonly tokens: TokenSet
  /** In the place of a token: calls are signed with them, and `accessToken` only names them. */
  readonly awsKeys?: AwsKeys | undefined
  /** The config's own base URL ('' for OAuth providers). */
  readonly baseUrl: string
  readonly attempt: AttemptRecord
}

/** What the row says of attempts to renew it. */
export interface AttemptRecord {
  /** Holds the lease, or held it when it ran out; undefined once it was given back. */
  readonly id: string | undefined
  /** Whose answer the tokens are. */
  readonly lastId: string | undefined
  /** The lease was held when the row was read, by the database's clock. */
  readonly leaseIsLive: boolean
  /** Epoch ms before which no other may start (back-off). */
  readonly nextAt: number
  readonly lastError: string | undefined
}

/**
 * Where a credential stands. Versions count the writes of one database; should that go back to an earlier state,
 * the time of the login tells a new login from the rest of an old one.
 */
export interface Standing {
  /** Epoch ms at which somebody logged in or handed tokens over; a refresh leaves it as it is. */
  readonly loginAt: number
  /** Rises with every write of tokens. 0 for API keys, which never change. */
  readonly version: number
}

export function isOlder(one: Standing, other: Standing): boolean {
  return one.loginAt < other.loginAt || (one.loginAt === other.loginAt && one.version < other.version)
}

/** The credential that the answer to an attempt makes of an old one. */
export function renewedBy(row: Credential, answer: TokenSet, attemptId: string): Credential {
  return {
    ...row,
    version: row.version + 1,
    state: 'active',
    tokens: followedBy(row.tokens, answer),
    attempt: { id: undefined, lastId: attemptId, leaseIsLive: false, nextAt: 0, lastError: undefined },
  }
}

const known = new WeakMap<Credential, UpstreamAccess>()

/**
 * How its calls reach upstream: where the token says, if it does (`resource_url`), else at a base URL.
 * @throws BrokerError upstream_not_allowed | upstream_not_configured
 */
export function accessOf(credential: Credential): UpstreamAccess {
  let access = known.get(credential)
  if (!access) {
    const { provider, tokens, awsKeys, baseUrl } = credential
    const { resource_url: url } = tokens.metadata
    const resourceUrl = typeof url === 'string' ? url : undefined
    access = accessTo(provider, { token: tokens.accessToken, awsKeys, resourceUrl, baseUrl })
    known.set(credential, access)
  }
  return access
}

/** Whether there is anything to renew it with. */
export function isRenewable({ provider, tokens }: Credential): boolean {
  if (provider.lacking.length > 0) return false
  const renewal = renewalClass(provider)
  return renewal === 'login' ? tokens.refreshToken !== undefined : renewal !== 'static'
}

/** Its keys are in the memory of each process alone. */
export function isLocal({ provider }: Pick<Credential, 'provider'>): boolean {
  return renewalClass(provider) === 'local'
}

/** A login whose token is traded for the one that calls carry, which is in the memory of each process alone. */
export function isTwoStep({ provider }: Pick<Credential, 'provider'>): boolean {
  return provider.tokenRequest !== undefined && isLogin(provider.kind)
}

/** Asking costs nothing: doubt is no reason to wait, nor to call anything over. */
export function mayAskAgain({ provider }: Pick<Credential, 'provider'>): boolean {
  return renewalClass(provider) === 'shared'
}

/** What decides when to renew. */
export interface Lifetime {
  readonly provider: Provider
  readonly tokens: Pick<TokenSet, 'expiresAt' | 'receivedAt'>
}

/**
 * True from `before_seconds` ahead of expiry on, but never in the first half of a known lifetime: a token that
 * lives 60 s would else be due from birth (docs/api.md, Calls).
 */
export function isDue(lifetime: Lifetime, now: number): boolean {
  const { expiresAt } = lifetime.tokens
  return expiresAt !== undefined && now > expiresAt - leadTimeMs(lifetime)
}

/** How long before expiry the inline path begins to renew, in ms. */
export function leadTimeMs({ provider, tokens: { expiresAt, receivedAt } }: Lifetime): number {
  const before = maxLeadTimeMs(provider)
  if (expiresAt === undefined || receivedAt === undefined) return before
  return Math.min(before, (expiresAt - receivedAt) / 2)
}

/** The same for tokens of a long life. */
export function maxLeadTimeMs({ kind, webSession, refresh }: Provider): number {
  return kind === 'session' && webSession ? webSession.refreshBeforeMs : refresh.beforeMs
}

/** True while upstream should still accept the access token: to its real end. */
export function isUsable({ tokens: { accessToken, expiresAt } }: Credential, now: number): boolean {
  return accessToken !== '' && (expiresAt === undefined || now < expiresAt)
}

/** Tells refresh tokens apart without showing them. */
export function fingerprint(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
