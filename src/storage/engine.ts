/**
 * What the two kinds of database answer differently.
 */
import type { Kysely, RawBuilder } from 'kysely'
import type { DurableCommits } from './durable-commits.ts'
import type { Tables } from './tables.ts'

export interface Engine {
  readonly kind: 'mysql' | 'sqlite'
  readonly kysely: Kysely<Tables>
  /** The database's own clock in epoch milliseconds, as SQL: replicas' clocks may disagree. */
  readonly nowMs: RawBuilder<number>
  /** A server that refuses a write is left for another one, which may be asked at once. */
  readonly hasOtherServers?: boolean
  /** Where a commit alone does not outlive a power cut. */
  readonly commits?: DurableCommits
  /**
   * For statements that may take minutes, or wait for those of others. Where none is taken back when `work` breaks off,
   * one whose change is there already counts as done, and `work` may be begun again.
   */
  changeTables<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T>
  /** Asks for leave to write, and writes nothing. */
  claimWritable?(db: Kysely<Tables>): Promise<void>
  /** Lets go of a database that does not answer; what waits for it fails. */
  abandon(): void
}
