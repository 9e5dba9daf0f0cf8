/**
 * Console sessions that were signed out before their time, for all replicas: a row each until the cookie would have
 * expired by itself.
 *
 * Fails closed: while the database is away no cookie is taken, for one that was signed out must not open anything.
 * The admin token works without it.
 */
import type { Clock } from '../base/clock.ts'
import { type Actor, recordAudit } from '../storage/audit-log.ts'
import type { Database } from '../storage/database.ts'
import { BATCH } from '../storage/in-batches.ts'
import type { ConsoleSession } from './console-session.ts'

export class EndedSessions {
  readonly #database: Database
  readonly #clock: Clock

  constructor(database: Database, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  /** @throws BrokerError storage_unavailable: then it has not ended */
  async end({ id, expiresAt }: ConsoleSession, by: Actor): Promise<void> {
    await this.#clearSome()
    await this.#database.transaction(async (trx) => {
      await trx.deleteFrom('ended_sessions').where('session_hash', '=', id).execute() // signed out twice at once
      await trx.insertInto('ended_sessions').values({ session_hash: id, expires_at: expiresAt }).execute()
      await recordAudit(trx, this.#database, { type: 'console.signed_out', by })
    })
  }

  /** Of those that would have ended by themselves by now; more than come. */
  async #clearSome(): Promise<void> {
    await this.#database.run(async (db) => {
      const ended = db.selectFrom('ended_sessions').select('session_hash').limit(BATCH)
      const rows = await ended.where('expires_at', '<', this.#clock()).execute()
      const hashes = rows.map((row) => row.session_hash)
      if (hashes.length > 0)
        await db.deleteFrom('ended_sessions').where('session_hash', 'in', hashes).execute()
    })
  }

  /** Which of these have ended. @throws BrokerError storage_unavailable */
  async among(ids: readonly string[]): Promise<ReadonlySet<string>> {
    if (ids.length === 0) return new Set()
    const rows = await this.#database.run((db) =>
      db.selectFrom('ended_sessions').select('session_hash').where('session_hash', 'in', ids).execute(),
    )
    return new Set(rows.map((row) => row.session_hash))
  }
}
