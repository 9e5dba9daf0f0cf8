/**
 * Counts calls in the database, so that all replicas together allow what one would.
 *
 * A bucket is one row with the instants of the last calls, written by compare-and-set: exact, and a sliding window
 * rather than a calendar one.
 */
import type { Clock } from '../base/clock.ts'
import { type Database, DuplicateError } from './database.ts'
import { inBatches } from './in-batches.ts'
import type { RateCounterRow } from './tables.ts'

/** More writers than this at one bucket at one moment are over any limit anyway. */
const MAX_TRIES = 20

export interface Counted {
  /** With this call; above the limit it was not counted. */
  readonly current: number
  /** Milliseconds until the oldest call is out of the window. */
  readonly ttl: number
}

export class RateCounters {
  readonly #database: Database
  readonly #clock: Clock
  #clearedAt = 0

  constructor(database: Database, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  /** @throws BrokerError storage_unavailable */
  async count(bucket: string, windowMs: number, max: number): Promise<Counted> {
    const now = this.#clock()
    this.#clearOld(now, windowMs)
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      const row = await this.#database.run((db) =>
        db.selectFrom('rate_counters').selectAll().where('bucket', '=', bucket).executeTakeFirst(),
      )
      const recent = callsOf(row).filter((at) => at > now - windowMs)
      const current = recent.length + 1
      // Another replica's clock may be some milliseconds ahead; nobody waits longer than the window.
      const ttl = Math.min((recent[0] ?? now) + windowMs - now, windowMs)
      if (current > max) return { current, ttl } // a refused call does not lengthen the wait
      if (await write(this.#database, bucket, row, [...recent, now], now + windowMs)) return { current, ttl }
    }
    return { current: max + 1, ttl: windowMs }
  }

  /** Without this the table would keep a row for every address that ever called. */
  #clearOld(now: number, windowMs: number): void {
    if (now - this.#clearedAt < windowMs) return
    this.#clearedAt = now
    inBatches((limit) => deleteSome(this.#database, now, limit)).catch(() => {}) // the next minute is soon enough
  }
}

/** One that was renewed after it was looked for stays. */
function deleteSome(database: Database, now: number, limit: number): Promise<number> {
  return database.run(async (db) => {
    const old = db.selectFrom('rate_counters').select('bucket').where('expires_at', '<', now).limit(limit)
    const buckets = (await old.execute()).map(({ bucket }) => bucket)
    const found = db.deleteFrom('rate_counters').where('bucket', 'in', buckets)
    if (buckets.length > 0) await found.where('expires_at', '<', now).execute()
    return buckets.length
  })
}

function callsOf(row: RateCounterRow | undefined): number[] {
  return row?.calls ? row.calls.split(',').map(Number) : []
}

async function write(
  database: Database,
  bucket: string,
  row: RateCounterRow | undefined,
  calls: number[],
  expiresAt: number,
): Promise<boolean> {
  const values = { calls: calls.join(','), expires_at: expiresAt }
  if (row) {
    const result = await database.run((db) =>
      db
        .updateTable('rate_counters')
        .set({ ...values, version: row.version + 1 })
        .where('bucket', '=', bucket)
        .where('version', '=', row.version)
        .executeTakeFirst(),
    )
    return result.numUpdatedRows === 1n
  }
  try {
    await database.run((db) =>
      db
        .insertInto('rate_counters')
        .values({ bucket, version: 1, ...values })
        .execute(),
    )
    return true
  } catch (error) {
    if (error instanceof DuplicateError) return false
    throw error
  }
}
