/**
 * The only place that opens SQL: MySQL/MariaDB by mysql2, or SQLite in DATA_DIR by better-sqlite3.
 *
 * Callers say `database.run(db => …)` and get rows, a {@link DuplicateError}, or a BrokerError
 * `storage_unavailable`; they never see a driver's error for a database that is away.
 */
import { join } from 'node:path'
import SqliteDatabase from 'better-sqlite3'
import {
  CompiledQuery,
  type DatabaseConnection,
  Kysely,
  MysqlDialect,
  type MysqlPool,
  type RawBuilder,
  SqliteAdapter,
  SqliteDialect,
  SqliteDriver,
  sql,
  type Transaction,
} from 'kysely'
import type { PoolOptions } from 'mysql2'
import { BrokerError } from '../base/errors.ts'
import { makeDataDir } from '../base/folder.ts'
import type { Secret } from '../base/secret.ts'
import { DurableCommits } from './durable-commits.ts'
import type { Tables } from './tables.ts'

/** A unique index refused a row. */
export class DuplicateError extends Error {
  override readonly name = 'DuplicateError'
}

export interface Database {
  readonly kind: 'mysql' | 'sqlite'
  readonly kysely: Kysely<Tables>
  /** The database's own clock in epoch milliseconds, as SQL: replicas' clocks may disagree. */
  readonly nowMs: RawBuilder<number>
  /** The last answer was that there is none, or one is overdue: nobody should wait for another. */
  readonly isAway: boolean
  /** @throws DuplicateError | BrokerError storage_unavailable */
  run<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T>
  /** All or nothing. Inside, use only the given `trx`; SQLite has one connection and would wait for itself. */
  transaction<T>(work: (trx: Transaction<Tables>) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** One statement may take this long; then its connection is given up, for a half-dead one would block others. */
const STATEMENT_TIMEOUT_MS = 5_000
const CONNECT_TIMEOUT_MS = 3_000
/**
 * A process that is stopped or cut off within a transaction holds the locks of its rows: the server ends a
 * connection that is silent for so long, well before a lease is over.
 */
const SILENCE_SECONDS = 15
/** The pool gives a connection up well before the server would, lest one be taken just as the server hangs up. */
const IDLE_TIMEOUT_MS = 5_000
/** An answer that takes longer is overdue. The change counter is read every second, so this shows soon. */
const OVERDUE_MS = 1_000
const CONNECTIONS = 10
const SQLITE_BUSY_TIMEOUT_MS = 5_000

/** @throws ConfigError if SQLite's file cannot be in `dataDir` */
export function openDatabase(place: { mysqlUrl: Secret | undefined; dataDir: string }): Database {
  return place.mysqlUrl ? openMysql(place.mysqlUrl) : openSqlite(place.dataDir)
}

function openSqlite(dataDir: string): Database {
  makeDataDir(dataDir)
  const handle = new SqliteDatabase(join(dataDir, 'token-broker.sqlite'), { timeout: SQLITE_BUSY_TIMEOUT_MS })
  switchToWal(handle)
  handle.pragma('synchronous = NORMAL') // and what is written waits for the disk elsewhere: see DurableCommits
  const kysely = new Kysely<Tables>({ dialect: new SharedSqliteDialect({ database: handle }) })
  const nowMs = sql<number>`cast(unixepoch('subsec') * 1000 as integer)`
  return wrap('sqlite', kysely, nowMs, new DurableCommits(handle))
}

/** The first switch of a new file fails at once, not after the busy timeout, while another process does the same. */
function switchToWal(handle: SqliteDatabase.Database): void {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (const deadline = Date.now() + SQLITE_BUSY_TIMEOUT_MS; ; Atomics.wait(pause, 0, 0, 10)) {
    try {
      handle.pragma('journal_mode = WAL')
      return
    } catch (error) {
      if ((error as { code?: string }).code !== 'SQLITE_BUSY' || Date.now() > deadline) throw error
    }
  }
}

/**
 * A transaction takes SQLite's write lock at its first statement. A deferred one that reads and then writes is
 * refused at once when another process wrote in between, whatever the busy timeout. Migrations run in one as
 * well: SQLite's DDL is transactional, which Kysely leaves unused.
 */
class SharedSqliteDialect extends SqliteDialect {
  readonly #config: ConstructorParameters<typeof SqliteDialect>[0]
  constructor(config: ConstructorParameters<typeof SqliteDialect>[0]) {
    super(config)
    this.#config = config
  }
  override createDriver() {
    return new ImmediateSqliteDriver(this.#config)
  }
  override createAdapter() {
    return new TransactionalSqliteAdapter()
  }
}

class ImmediateSqliteDriver extends SqliteDriver {
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }
}

class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl() {
    return true
  }
}

function openMysql(url: Secret): Database {
  // Made when first asked: a pool watches its idle connections until it is ended, which Kysely leaves out unless used.
  const kysely = new Kysely<Tables>({ dialect: new MysqlDialect({ pool: () => mysqlPool(url) }) })
  return wrap('mysql', kysely, sql<number>`cast(unix_timestamp(now(3)) * 1000 as signed)`)
}

/** Its driver is large, and SQLite does without it. */
async function mysqlPool(url: Secret): Promise<MysqlPool> {
  const { createPool } = await import('mysql2')
  const parsed = new URL(url.reveal())
  const options: PoolOptions = {
    host: parsed.hostname,
    port: parsed.port ? Number(parsed.port) : 3306,
    user: decodeURIComponent(parsed.username),
    password: decodeURIComponent(parsed.password),
    database: decodeURIComponent(parsed.pathname.slice(1)),
    charset: 'utf8mb4_bin',
    connectionLimit: CONNECTIONS,
    maxIdle: CONNECTIONS - 1, // at the limit itself the pool never looks at its idle connections
    idleTimeout: IDLE_TIMEOUT_MS,
    gracefulEnd: true, // else the server counts them, and writes them to its log, as aborted
    connectTimeout: CONNECT_TIMEOUT_MS,
    ...(parsed.searchParams.get('ssl') === 'true' ? { ssl: {} } : {}),
  }
  const pool = createPool(options)
  const idle = new Set<{ destroy(): void }>()
  pool.on('acquire', (connection) => idle.delete(connection))
  pool.on('release', (connection) => idle.add(connection))
  pool.on('connection', (connection) => {
    connection.once('end', () => idle.delete(connection))
    const query = connection.query.bind(connection) as (options: object, done: Done) => unknown
    const bounded = (text: string, values: unknown, done: Done) =>
      query({ sql: text, values, timeout: STATEMENT_TIMEOUT_MS }, (error, ...rest) => {
        if (error?.code === 'PROTOCOL_SEQUENCE_TIMEOUT') {
          // The network forgot this connection, and most likely the others too: each would cost a timeout.
          for (const other of [connection, ...idle]) other.destroy()
          idle.clear()
        }
        done(error, ...rest)
      })
    connection.query = bounded as unknown as typeof connection.query
    bounded('set session wait_timeout = ?', [SILENCE_SECONDS], () => {})
  })
  return pool as unknown as MysqlPool
}

type Done = (error: NodeJS.ErrnoException | null, ...rest: unknown[]) => void

/** @param commits where a commit alone does not outlive a power cut */
function wrap(
  kind: Database['kind'],
  kysely: Kysely<Tables>,
  nowMs: RawBuilder<number>,
  commits?: DurableCommits,
): Database {
  /** When the work under way began, oldest first. */
  const underWay = new Set<{ readonly since: number }>()
  let hasFailed = false
  const run: Database['run'] = async (work) => {
    const one = { since: performance.now() }
    underWay.add(one)
    try {
      const answer = await (commits ? commits.durably(() => work(kysely)) : work(kysely))
      hasFailed = false
      return answer
    } catch (error) {
      const problem = translated(error)
      hasFailed = problem instanceof BrokerError && problem.code === 'storage_unavailable'
      throw problem
    } finally {
      underWay.delete(one)
    }
  }
  return {
    kind,
    kysely,
    nowMs,
    get isAway() {
      const [oldest] = underWay
      return hasFailed || (oldest !== undefined && performance.now() - oldest.since > OVERDUE_MS)
    },
    run,
    transaction: (work) => run((db) => db.transaction().execute(work)),
    async close() {
      await kysely.destroy()
      await commits?.close()
    },
  }
}

const DUPLICATE = new Set(['ER_DUP_ENTRY', 'SQLITE_CONSTRAINT_UNIQUE', 'SQLITE_CONSTRAINT_PRIMARYKEY'])
const AWAY =
  /^(PROTOCOL_|E[A-Z]+$|ER_(CON_COUNT|SERVER_SHUTDOWN|LOCK_|QUERY_TIMEOUT|TOO_MANY|ACCESS_DENIED|DBACCESS|BAD_DB|OPTION_PREVENTS|DISK_FULL|RECORD_FILE_FULL|HOST_)|SQLITE_(BUSY|LOCKED|IOERR|FULL|READONLY|CANTOPEN|NOTADB|CORRUPT))/

function translated(error: unknown): unknown {
  if (error instanceof BrokerError) return error
  const { code, fatal } = error as { code?: string; fatal?: boolean }
  if (code !== undefined && DUPLICATE.has(code)) return new DuplicateError('duplicate')
  if (fatal || (code !== undefined && AWAY.test(code)) || isPoolClosed(error)) {
    return new BrokerError('storage_unavailable', {
      cause: error,
      detail: code ?? 'pool',
      retryAfterSeconds: 2,
    })
  }
  return error
}

function isPoolClosed(error: unknown): boolean {
  return error instanceof Error && error.message === 'Pool is closed.'
}
