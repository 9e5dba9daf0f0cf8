/**
 * SQLite in DATA_DIR, by better-sqlite3: one file, one connection, shared with other processes.
 */
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import SqliteDatabase from 'better-sqlite3'
import { Kysely, SqliteAdapter, SqliteDialect, sql } from 'kysely'
import { keepPrivate, makeDataDir } from '../base/folder.ts'
import { DurableCommits } from './durable-commits.ts'
import type { Engine } from './engine.ts'
import { PatientSqliteDriver } from './patient-sqlite-driver.ts'
import type { Tables } from './tables.ts'

/** Only at the start, when nobody waits for an answer of this process. */
const OPEN_TIMEOUT_MS = 5_000

export function openSqlite(dataDir: string): Engine {
  makeDataDir(dataDir)
  const file = join(dataDir, 'token-broker.sqlite')
  closeSync(openSync(file, 'a', 0o600)) // SQLite would make it readable to all; -wal and -shm are made like it
  for (const suffix of ['', '-wal', '-shm']) keepPrivate(file + suffix, 0o600)
  const handle = new SqliteDatabase(file, { timeout: OPEN_TIMEOUT_MS })
  switchToWal(handle)
  handle.pragma('synchronous = NORMAL') // and what is written waits for the disk elsewhere: see DurableCommits
  const commits = new DurableCommits(handle)
  handle.pragma('busy_timeout = 0') // from now on PatientSqliteDriver waits, without holding the process up
  const kysely = new Kysely<Tables>({ dialect: new SharedSqliteDialect({ database: handle }) })
  const nowMs = sql<number>`cast(unixepoch('subsec') * 1000 as integer)`
  return { kind: 'sqlite', kysely, nowMs, commits, changeTables: (work) => work(kysely), abandon() {} }
}

/** The first switch of a new file fails at once, not after the busy timeout, while another process does the same. */
function switchToWal(handle: SqliteDatabase.Database): void {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (const deadline = Date.now() + OPEN_TIMEOUT_MS; ; Atomics.wait(pause, 0, 0, 10)) {
    try {
      handle.pragma('journal_mode = WAL')
      return
    } catch (error) {
      if ((error as { code?: string }).code !== 'SQLITE_BUSY' || Date.now() > deadline) throw error
    }
  }
}

/** Migrations run in a transaction: SQLite's DDL is transactional, which Kysely leaves unused. */
class SharedSqliteDialect extends SqliteDialect {
  readonly #config: ConstructorParameters<typeof SqliteDialect>[0]
  constructor(config: ConstructorParameters<typeof SqliteDialect>[0]) {
    super(config)
    this.#config = config
  }
  override createDriver() {
    return new PatientSqliteDriver(this.#config)
  }
  override createAdapter() {
    return new SharedSqliteAdapter()
  }
}

class SharedSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl() {
    return true
  }
  /** The driver knows better than Kysely when its one connection is taken. */
  override get supportsMultipleConnections() {
    return true
  }
}
