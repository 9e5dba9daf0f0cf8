/**
 * The store behind @fastify/rate-limit, in the database, so that all replicas together allow what one would.
 *
 * A bucket is one row with the instants of the last minute's calls, written by compare-and-set: exact, and a
 * sliding window rather than a calendar one.
 */
import type { Database } from '../storage/database.ts'
import { DuplicateError } from '../storage/database.ts'
import type { RateCounterRow } from '../storage/tables.ts'

type Done = (error: Error | null, result?: { current: number; ttl: number }) => void

/** More writers than this at one bucket at one moment are over any limit anyway. */
const MAX_TRIES = 20

export function createRateLimitStore(database: Database, clock: () => number) {
  let clearedAt = 0
  return class RateLimitStore {
    incr(bucket: string, done: Done, windowMs: number, max: number): void {
      const now = Math.trunc(clock())
      if (now - clearedAt >= windowMs) {
        clearedAt = now
        clearOld(database, now).catch(() => {}) // the next minute is soon enough
      }
      countCall(database, bucket, now, windowMs, max).then(
        (result) => done(null, result),
        (error: Error) => done(error),
      )
    }

    child(): RateLimitStore {
      return this
    }
  }
}

async function countCall(database: Database, bucket: string, now: number, windowMs: number, max: number) {
  for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
    const row = await database.run((db) =>
      db.selectFrom('rate_counters').selectAll().where('bucket', '=', bucket).executeTakeFirst(),
    )
    const recent = callsOf(row).filter((at) => at > now - windowMs)
    const current = recent.length + 1
    // Another replica's clock may be some milliseconds ahead; nobody waits longer than the window.
    const ttl = Math.min((recent[0] ?? now) + windowMs - now, windowMs)
    if (current > max) return { current, ttl } // a refused call does not lengthen the wait
    if (await write(database, bucket, row, [...recent, now], now + windowMs)) return { current, ttl }
  }
  return { current: max + 1, ttl: windowMs }
}

/** Without this the table would keep a row for every address that ever called. */
function clearOld(database: Database, now: number): Promise<unknown> {
  return database.run((db) => db.deleteFrom('rate_counters').where('expires_at', '<', now).execute())
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
