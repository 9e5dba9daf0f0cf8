/**
 * A lock between processes that the kernel takes back when its holder dies, so that none is ever left behind.
 *
 * Node has no advisory file locks; SQLite does, and the embedded database is here anyway.
 */
import { closeSync, openSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import SqliteDatabase from 'better-sqlite3'

const PAUSE_MS = 20

/** Waits for its turn, however long, then runs `work`. The file stays, empty. */
export async function withFileLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const lock = new SqliteDatabase(file, { timeout: 0 })
  try {
    while (!take(lock)) await setTimeout(PAUSE_MS)
    return await work()
  } finally {
    lock.close()
  }
}

/** Held from now on. @returns lets go of it; undefined if another process holds it */
export function holdFileLock(file: string): (() => void) | undefined {
  closeSync(openSync(file, 'a', 0o600)) // its owner's alone, which the driver would leave to the umask
  const lock = new SqliteDatabase(file, { timeout: 0 })
  if (take(lock)) return () => lock.close()
  lock.close()
  return undefined
}

function take(lock: SqliteDatabase.Database): boolean {
  try {
    lock.exec('begin exclusive')
    return true
  } catch (error) {
    if ((error as { code?: string }).code === 'SQLITE_BUSY') return false
    throw error
  }
}
