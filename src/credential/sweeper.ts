/**
 * Refreshes idle and soon-due credentials in the background, so that callers rarely wait and unused logins live on.
 *
 * Every replica sweeps; the lease in the row makes it one effect. Each credential has its own moment, a little
 * ahead of the inline path, so that a thousand of them do not come due at once.
 */
import { type Clock, DAY, SECOND } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Provider } from '../base/provider.ts'
import { recordEvent } from '../storage/audit-events.ts'
import type { Database } from '../storage/database.ts'
import { type Credential, isRenewable, leadTimeMs } from './credential.ts'
import type { CredentialStore } from './credential-store.ts'
import type { Refresher } from './refresh.ts'

export interface SweeperParts {
  readonly database: Database
  readonly store: CredentialStore
  readonly refresher: Refresher
  readonly providers: ReadonlyMap<string, Provider>
  readonly clock: Clock
  readonly log: Logger
}

const SWEEP_EVERY_MS = 5 * SECOND
const AT_ONCE = 8
const BATCH = 200
/** How much earlier than the inline path, at most. */
const MAX_AHEAD = 1.2
const WARN_BEFORE_MS = 3 * DAY
const AUDIT_KEPT_MS = 30 * DAY

export class Sweeper {
  readonly #parts: SweeperParts
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(parts: SweeperParts) {
    this.#parts = parts
  }

  start(): void {
    if (this.#isStopped) return
    const pause = SWEEP_EVERY_MS * (0.75 + Math.random() / 2)
    this.#timer = setTimeout(async () => {
      await this.sweep().catch((error: unknown) => this.#parts.log.warn({ err: error }, 'sweep'))
      this.start()
    }, pause).unref()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  /** One round. @throws BrokerError storage_unavailable */
  async sweep(): Promise<void> {
    const now = this.#parts.clock()
    for (const provider of this.#parts.providers.values()) {
      if (provider.kind === 'api_key') continue
      const ids = await this.#soonDue(provider, now)
      for (let from = 0; from < ids.length; from += AT_ONCE) {
        await Promise.all(ids.slice(from, from + AT_ONCE).map((id) => this.#visit(id, now)))
      }
    }
    await this.#parts.database.run((db) =>
      db
        .deleteFrom('audit_events')
        .where('created_at', '<', Math.trunc(now - AUDIT_KEPT_MS))
        .execute(),
    )
  }

  /** Candidates by the index; the exact moment is judged on the credential. */
  async #soonDue(provider: Provider, now: number): Promise<string[]> {
    const lead = provider.session?.refreshBeforeMs ?? provider.refresh.beforeMs
    const rows = await this.#parts.database.run((db) =>
      db
        .selectFrom('model_configs')
        .select('id')
        .where('oauth_state', 'in', ['active', 'uncertain', 'refreshing'])
        .where('oauth_expires_at', '<', Math.trunc(now + lead * MAX_AHEAD))
        .where('provider', '=', provider.name)
        .where('deleted_at', 'is', null)
        .where('next_attempt_at', '<=', Math.trunc(now))
        .where('lease_until', '<=', Math.trunc(now))
        .orderBy('oauth_expires_at')
        .limit(BATCH)
        .execute(),
    )
    return rows.map((row) => row.id)
  }

  async #visit(configId: string, now: number): Promise<void> {
    const credential = await this.#parts.store.load(configId)
    if (!credential || !isRenewable(credential)) return
    await this.#warnIfLapsing(credential, now)
    if (isSweepDue(credential, now)) await this.#parts.refresher.refresh(credential).done
  }

  /** Some servers say how long a refresh token lives; a person should hear of its end before callers do. */
  async #warnIfLapsing({ configId, metadata, refreshedAt }: Credential, now: number): Promise<void> {
    const seconds = metadata['refresh_expires_in'] ?? metadata['refresh_token_expires_in']
    if (typeof seconds !== 'number' || seconds <= 0 || refreshedAt === undefined) return
    const lapsesAt = refreshedAt + seconds * SECOND
    if (now < lapsesAt - Math.min(WARN_BEFORE_MS, (seconds * SECOND) / 5)) return
    const { database } = this.#parts
    await database.transaction(async (trx) => {
      const told = await trx
        .selectFrom('audit_events')
        .select('id')
        .where('config_id', '=', configId)
        .where('type', '=', 'credential.expiring')
        .where('created_at', '>', Math.trunc(now - DAY))
        .executeTakeFirst()
      const reason = `the refresh token ends at ${new Date(lapsesAt).toISOString()}`
      if (!told) await recordEvent(trx, database, { type: 'credential.expiring', configId, reason })
    })
  }
}

/** Between 0 and 20 % ahead of the inline path, always the same for one credential. */
export function isSweepDue(credential: Credential, now: number): boolean {
  if (credential.expiresAt === undefined) return false
  const share = Number.parseInt(credential.configId.slice(0, 4), 16) / 0xffff || 0
  return now > credential.expiresAt - leadTimeMs(credential) * (1 + share * (MAX_AHEAD - 1))
}
