/**
 * The only way to SQL: MySQL/MariaDB (`mysql.ts`), or SQLite in DATA_DIR (`sqlite.ts`).
 *
 * Callers say `database.run(db => …)` and get rows, a {@link DuplicateError}, or a BrokerError
 * `storage_unavailable`; they never see a driver's error.
 */
import type { Kysely, Transaction } from 'kysely'
import { within } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { Secret } from '../base/secret.ts'
import type { Engine } from './engine.ts'
import { openMysql } from './mysql.ts'
import { openSqlite } from './sqlite.ts'
import { isConflict, isReadOnly, translated } from './storage-error.ts'
import type { Tables } from './tables.ts'
import { Turns } from './turns.ts'

export { DuplicateError } from './storage-error.ts'

export interface Database extends Pick<Engine, 'kind' | 'kysely' | 'nowMs' | 'changeTables'> {
  /** The last answer was that there is none, or one is overdue: nobody should wait for another. */
  readonly isAway: boolean
  /**
   * Called again, from its beginning, where a deadlock or a conflict undid it, or a server that takes no writes any
   * more refused it and there are others.
   * @throws DuplicateError | BrokerError storage_unavailable
   */
  run<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T>
  /** All or nothing. Inside, use only the given `trx`; SQLite has one connection and would wait for itself. */
  transaction<T>(work: (trx: Transaction<Tables>) => Promise<T>): Promise<T>
  /** Writes a row only if the last write was refused. @throws BrokerError storage_unavailable if nothing can be written */
  checkWritable(): Promise<void>
  /** Has an end also if the database has none to offer. */
  close(): Promise<void>
}

/** An answer that takes longer is overdue. The change counter is read every second, so this shows soon. */
const OVERDUE_MS = 1_000
/** Of three nodes of a cluster that raise one counter at the same moment two lose, again and again. */
const MAX_CONFLICTS = 16
/** Servers that take no writes, one after the other. */
const MAX_SERVERS = 4
/** Those who got into each other's way wait differently long, and longer each time, up to here. */
const MAX_PAUSE_MS = 300
const FIRST_PAUSE_MS = 25
const CLOSE_MS = 500
/** A server says goodbye much sooner. */
const FAREWELL_MS = 500

/** @throws ConfigError if SQLite's file cannot be in `dataDir` */
export function openDatabase(place: { mysqlUrl: Secret | undefined; dataDir: string }): Database {
  return wrap(place.mysqlUrl ? openMysql(place.mysqlUrl) : openSqlite(place.dataDir))
}

function wrap(engine: Engine): Database {
  const { kind, kysely, nowMs, commits, hasOtherServers = false } = engine
  const isWorthAnotherTry = (error: unknown, tries: number) =>
    (isConflict(error) && tries < MAX_CONFLICTS) ||
    (hasOtherServers && isReadOnly(error) && tries < MAX_SERVERS)
  const turns = new Turns()
  /** When the work under way began, oldest first. */
  const underWay = new Set<{ readonly since: number }>()
  let hasFailed = false
  let refusesWrites = false
  const run: Database['run'] = async (work) => {
    const one = { since: performance.now() }
    underWay.add(one)
    try {
      const once = () => (commits ? commits.durably(() => work(kysely)) : work(kysely))
      const answer = await again(once, isWorthAnotherTry)
      hasFailed = false
      return answer
    } catch (error) {
      const problem = translated(error)
      hasFailed = problem instanceof BrokerError && problem.code === 'storage_unavailable'
      refusesWrites ||= isReadOnly(error)
      throw problem
    } finally {
      underWay.delete(one)
    }
  }
  return {
    kind,
    kysely,
    nowMs,
    changeTables: engine.changeTables,
    get isAway() {
      const [oldest] = underWay
      return hasFailed || (oldest !== undefined && performance.now() - oldest.since > OVERDUE_MS)
    },
    run,
    transaction: (work) => run((db) => turns.transaction(db, work)),
    async checkWritable() {
      await run(async (db) => {
        if (refusesWrites) await writeNothingNew(db)
        else await engine.claimWritable?.(db)
      })
      refusesWrites = false
    },
    async close() {
      await within(CLOSE_MS, kysely.destroy()).catch(() => {}) // whatever a server says to its farewell
      setTimeout(() => engine.abandon(), FAREWELL_MS).unref()
      await commits?.close()
    },
  }
}

async function again<T>(
  work: () => Promise<T>,
  isWorthIt: (error: unknown, tries: number) => boolean,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work()
    } catch (error) {
      if (!isWorthIt(error, tries)) throw error
    }
    const pauseMs = Math.random() * Math.min(FIRST_PAUSE_MS * 2 ** tries, MAX_PAUSE_MS)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

async function writeNothingNew(db: Kysely<Tables>): Promise<void> {
  await db
    .updateTable('change_counter')
    .set(({ ref }) => ({ value: ref('value') }))
    .where('id', '=', 1)
    .execute()
}
