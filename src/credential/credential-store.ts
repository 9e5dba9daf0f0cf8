/**
 * Writes into the credential columns of `model_configs` what becomes of a login: sealed, and by compare-and-set.
 * `new-logins.ts` writes the login itself, and `credential-reader.ts` reads.
 *
 * Every write of tokens has a predicate on `oauth_version`; leases are judged by the database's clock.
 * A refresh never touches `updated_at`: that is the form's optimistic lock.
 */
import { type Kysely, sql } from 'kysely'
import type { TokenSet } from '../oauth/token-response.ts'
import { type EventType, recordEvent, recordTurn } from '../storage/audit-events.ts'
import { noteChange } from '../storage/changes.ts'
import type { Tables } from '../storage/tables.ts'
import { type Acceptance, WRITTEN_EVERY_MS } from './acceptances.ts'
import { type Credential, type CredentialState, fingerprint, isTwoStep, mayAskAgain } from './credential.ts'
import { type CredentialColumns, clearedColumns } from './credential-columns.ts'
import { CredentialReader } from './credential-reader.ts'

/** Longer than a refresh may take (10 s total, at most 25) plus slack. */
export const LEASE_MS = 30_000
const MAX_ERROR_CHARACTERS = 255
/** A deadlock is over with the next try; a table that takes no events may stay as it is for days. */
const TRIES_TO_TELL = 2

/** How an attempt ended that brought no tokens. */
export interface Release {
  readonly state: 'active' | 'uncertain' | 'refused'
  /** Epoch ms. */
  readonly nextAttemptAt: number
  readonly error: string
  /** Nothing renews it: a person should know before it ends. */
  readonly isExpiring: boolean
}

/** What is told of a write. */
interface News {
  readonly type: EventType
  readonly reason?: string
  /** Set once the write itself went through, and only the telling can still fail. */
  readonly written?: { isSo: boolean }
}

export class CredentialStore extends CredentialReader {
  /** Tokens as sealed columns. */
  seal(tokens: TokenSet): CredentialColumns {
    return {
      oauth_access_token: this.keyRing.seal(tokens.accessToken),
      oauth_refresh_token: tokens.refreshToken === undefined ? null : this.keyRing.seal(tokens.refreshToken),
      oauth_token_type: tokens.tokenType,
      oauth_scope: tokens.scope ?? null,
      oauth_expires_at: tokens.expiresAt ?? null,
      oauth_refreshed_at: tokens.receivedAt ?? null,
      oauth_refresh_fingerprint: tokens.refreshToken === undefined ? null : fingerprint(tokens.refreshToken),
      oauth_metadata: JSON.stringify(tokens.metadata),
      oauth_state: 'active',
    }
  }

  /** One autocommit statement; false if the version moved on or somebody holds the lease. */
  async claimLease(credential: Credential, owner: string, attemptId: string): Promise<boolean> {
    const { nowMs } = this.database
    const result = await this.database.run((db) =>
      db
        .updateTable('model_configs')
        .set({
          oauth_state: 'refreshing',
          lease_owner: owner,
          attempt_id: attemptId,
          lease_until: sql<number>`${nowMs} + ${LEASE_MS}`,
        })
        .where('id', '=', credential.configId)
        .where('oauth_version', '=', credential.version)
        .where('oauth_login_at', '=', credential.loginAt)
        .where('oauth_state', '=', credential.state)
        .where('lease_until', '<=', nowMs)
        .executeTakeFirst(),
    )
    return result.numUpdatedRows === 1n
  }

  /**
   * Stores what the server answered, over exactly the version the attempt started from. The lease is not asked
   * for: it may have run out while the answer was on its way, and as long as the version stands nobody has
   * anything newer (invariant I2). Also over a row that went back in time, where `renewed` is what it had been.
   */
  async storeRenewed(from: Credential, renewed: Credential): Promise<boolean> {
    const columns = this.seal(renewed.tokens)
    const values = {
      ...columns,
      ...this.#sealOf(from, columns),
      // Somebody was refreshing it when it was last seen: its refresh token may be spent.
      oauth_state: renewed.state === 'active' || mayAskAgain(renewed) ? 'active' : 'uncertain',
      oauth_login_at: renewed.loginAt,
      oauth_version: renewed.version,
      last_attempt_id: renewed.attempt.lastId ?? null,
      next_attempt_at: 0,
      last_error: null,
      ...FREE_LEASE,
    }
    const wasInTrouble = from.state === 'uncertain' || from.state === 'refused'
    const type = wasInTrouble ? 'credential.recovered' : 'credential.refreshed'
    for (let tries = 0; tries < TRIES_TO_TELL; tries += 1) {
      const written = { isSo: false }
      try {
        return await this.#updateAndTell(from, values, undefined, { type, written })
      } catch (error) {
        if (!written.isSo) throw error
      }
    }
    // The tokens themselves can be written, and must not be lost with the news of them.
    return this.database.transaction((trx) => update(trx, from, values, undefined))
  }

  /**
   * The row went back in time, and what followed its tokens is lost: they are never to be sent. Its version stays,
   * so that whoever does have what followed can still put it right.
   */
  async askForLogin(row: Credential, why: string): Promise<boolean> {
    const columns = clearedColumns('reauth_required')
    const values = { ...columns, ...this.#sealOf(row, columns), last_error: why, ...FREE_LEASE }
    return this.#updateAndTell(row, values, undefined, { type: 'credential.reauth_required', reason: why })
  }

  /** Gives the lease back after an attempt that brought no tokens. */
  async release(credential: Credential, attemptId: string, outcome: Release): Promise<boolean> {
    const values = {
      oauth_state: outcome.state,
      next_attempt_at: outcome.nextAttemptAt,
      last_error: outcome.error.slice(0, MAX_ERROR_CHARACTERS),
      ...FREE_LEASE,
    }
    const type = newsOf(outcome, credential.state)
    return this.#updateAndTell(credential, values, attemptId, type && { type, reason: outcome.error })
  }

  /** The refresh token is dead: empties the OAuth columns, if nobody logged in again meanwhile. */
  async clear(credential: Credential, attemptId: string, error: string): Promise<boolean> {
    const columns = clearedColumns('reauth_required')
    const values = {
      ...columns,
      ...this.#sealOf(credential, columns),
      oauth_version: credential.version + 1,
      last_error: error.slice(0, MAX_ERROR_CHARACTERS),
      ...FREE_LEASE,
    }
    const type = 'credential.reauth_required'
    return this.#updateAndTell(credential, values, attemptId, { type, reason: error })
  }

  /**
   * What a process was told of what it has for itself: one event, whoever of all replicas hears it first. The state of a
   * login in two steps is the login's, so there the event is all.
   * @param refusal undefined: what was refused is taken again
   */
  async noteLocal(row: Credential, refusal: string | undefined): Promise<void> {
    const { configId, loginAt } = row
    const [from, to] = refusal === undefined ? ['refused', 'active'] : ['active', 'refused']
    const type = refusal === undefined ? 'credential.recovered' : 'credential.refused'
    const event = { type, configId, reason: refusal } as const
    if (isTwoStep(row))
      return recordTurn(this.database, event, ['credential.recovered', 'credential.refused'])
    const last_error = refusal?.slice(0, MAX_ERROR_CHARACTERS) ?? null
    await this.database.transaction(async (trx) => {
      const result = await trx
        .updateTable('model_configs')
        .set({ oauth_state: to, last_error })
        .where('id', '=', configId)
        .where('oauth_version', '=', row.version)
        .where('oauth_login_at', '=', loginAt)
        .where('oauth_state', '=', from)
        .executeTakeFirst()
      if (result.numUpdatedRows !== 1n) return
      await recordEvent(trx, this.database, event)
      await noteChange(trx, [{ kind: 'config', id: configId }])
    })
  }

  /** At most once a version and hour, for all replicas; nothing if the row holds something else by now. */
  async storeAcceptance(configId: string, { loginAt, version, baseUrl, at }: Acceptance): Promise<void> {
    await this.database.run((db) =>
      db
        .updateTable('model_configs')
        .set({ accepted_at: at, accepted_version: version })
        .where('id', '=', configId)
        .where('oauth_version', '=', version)
        .where('oauth_login_at', '=', loginAt)
        .where('base_url', '=', baseUrl)
        .where((row) =>
          row.or([
            row('accepted_version', 'is', null),
            row('accepted_version', '<>', version),
            row('accepted_at', '<=', at - WRITTEN_EVERY_MS),
          ]),
        )
        .execute(),
    )
  }

  #sealOf({ configId, provider }: Credential, columns: CredentialColumns): { oauth_seal: string } {
    return this.seals.oauth({ id: configId, provider: provider.name, ...columns })
  }

  /** The write and its event, or neither. */
  async #updateAndTell(
    credential: Credential,
    values: object,
    attemptId: string | undefined,
    news: News | undefined,
  ): Promise<boolean> {
    return this.database.transaction(async (trx) => {
      const isDone = await update(trx, credential, values, attemptId)
      if (isDone && news) {
        if (news.written) news.written.isSo = true
        const { type, reason } = news
        await recordEvent(trx, this.database, { type, configId: credential.configId, reason })
      }
      return isDone
    })
  }
}

/** What a person should hear of, and has not heard yet. */
function newsOf({ state, isExpiring }: Release, before: CredentialState): EventType | undefined {
  if (isExpiring) return 'credential.expiring'
  return state === before || state === 'active' ? undefined : `credential.${state}`
}

/** Compare-and-set on the version, and on the attempt that holds the lease where one is given. */
async function update(
  db: Kysely<Tables>,
  credential: Credential,
  values: object,
  attemptId: string | undefined,
): Promise<boolean> {
  const query = db
    .updateTable('model_configs')
    .set(values)
    .where('id', '=', credential.configId)
    .where('oauth_version', '=', credential.version)
    .where('oauth_login_at', '=', credential.loginAt)
  const result = await (attemptId === undefined
    ? query
    : query.where('attempt_id', '=', attemptId)
  ).executeTakeFirst()
  return result.numUpdatedRows === 1n
}

const FREE_LEASE = { lease_owner: null, lease_until: 0, attempt_id: null }
