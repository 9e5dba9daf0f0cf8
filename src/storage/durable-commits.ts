/**
 * Makes SQLite's commits survive a power cut without holding this process up.
 *
 * SQLite runs in our own thread, and so would its fsync, which on a busy disk takes a tenth of a second while every
 * stream stands still. With `synchronous = NORMAL` a commit only writes to the write-ahead log; here the log is
 * flushed in the thread pool, and whoever wrote waits for that. (Whoever read meanwhile does, too: the count of changes
 * is the connection's.) The log is one sequence: a flush covers all before it.
 */
import { type FileHandle, open } from 'node:fs/promises'
import type SqliteDatabase from 'better-sqlite3'

export class DurableCommits {
  readonly #logFile: string
  readonly #changes: SqliteDatabase.Statement<[], number>
  /** SQLite keeps the log where it is for as long as the database is open. */
  #log: FileHandle | undefined
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(database: SqliteDatabase.Database) {
    this.#logFile = `${database.name}-wal`
    this.#changes = database.prepare<[], number>('select total_changes()').pluck()
  }

  /** @throws what the disk says, if it cannot take what was written */
  async durably<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#changes.get()
    const answer = await work()
    if (this.#changes.get() !== before) await this.#flush()
    return answer
  }

  async close(): Promise<void> {
    await (this.#next ?? this.#running)?.catch(() => undefined)
    await this.#log?.close()
  }

  /** Those who come while a flush is under way share the next one: it may have begun before they wrote. */
  #flush(): Promise<void> {
    this.#next ??= this.#flushAfter(this.#running)
    return this.#next
  }

  async #flushAfter(running: Promise<void> | undefined): Promise<void> {
    await running?.catch(() => undefined) // those who waited for it have heard
    this.#running = this.#next
    this.#next = undefined
    this.#log ??= await open(this.#logFile, 'r+')
    await this.#log.datasync()
  }
}
