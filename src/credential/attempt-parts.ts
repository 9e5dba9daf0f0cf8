/**
 * What an attempt needs of others, and what it is about.
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Renewal } from '../oauth/refresh-token-grant.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import type { Credential } from './credential.ts'
import type { JustRead } from './credential-reader.ts'
import type { CredentialStore } from './credential-store.ts'
import type { Journal } from './journal.ts'
import type { Knowledge } from './knowledge.ts'
import type { RefusedSources } from './refused-sources.ts'

export interface AttemptParts {
  readonly store: CredentialStore
  readonly journal: Journal
  readonly knowledge: Knowledge
  readonly changes: Pick<ChangeWatcher, 'seen'>
  readonly clock: Clock
  readonly log: Logger
  /** Names this process in leases. */
  readonly owner: string
  /** With what requests were refused. */
  readonly refusedSources: RefusedSources
  /** One request to whoever renews this kind of credential; see `renew.ts`. */
  readonly renew: (credential: Credential) => Promise<Renewal>
}

/** What a run is about. */
export interface Run {
  readonly configId: string
  /** Attempts in a row that brought nothing. */
  readonly failuresBefore: number
  /** Makes the answer known to callers. */
  readonly keep: (credential: Credential) => void
  /** What it begins with instead of reading the row once more. */
  readonly justRead: JustRead | undefined
  /** Somebody waits for it, perhaps only since a moment ago. */
  readonly isAwaited: () => boolean
}
