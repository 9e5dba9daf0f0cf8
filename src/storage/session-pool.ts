/**
 * A pool whose connections all have our session before their first statement, whose statements come to an end, and
 * which keeps no connection to a server that it had better leave.
 *
 * After a switchover the old primary goes on answering, read-only, while its name already leads to the new one: who
 * keeps connections never hears of that.
 */
import type { MysqlPool, MysqlPoolConnection } from 'kysely'
import type { Pool } from 'mysql2'
import { literalOf, type Raw } from './literal.ts'
import { isDoneAlready, isReadOnly } from './storage-error.ts'

/** Each connection a little less, lest all of them be opened anew at once. */
const MAX_AGE_MS = 5 * 60_000

type Connection = MysqlPoolConnection & { end(): void; once(event: 'end', heard: () => void): unknown }
type Done = (error: NodeJS.ErrnoException | null, ...rest: unknown[]) => void

interface Options {
  /** One statement. A connection that refuses it is not used. */
  readonly session: string
  /** A statement that takes longer is given up, with its connection. */
  readonly statementMs: number
  /** A change of a table that is there already is answered as done. */
  readonly changesTables: boolean
  /** Where there are other servers: one that is read-only is not used. */
  readonly mustTakeWrites: boolean
}

/** On a node of a Galera cluster answered when it has what others had written by then. Only MariaDB reads such a comment. */
const CAUGHT_UP = '/*M! set statement wsrep_sync_wait = 1 for */ select 1'
/** As a server itself answers a write that it does not take (ER_OPTION_PREVENTS_STATEMENT). */
const READ_ONLY = Object.assign(new Error('the server is read-only'), {
  code: 'ER_OPTION_PREVENTS_STATEMENT',
  errno: 1290,
  sqlState: 'HY000',
})
const overdue = () => Object.assign(new Error('no answer in time'), { code: 'PROTOCOL_SEQUENCE_TIMEOUT' })

export class SessionPool implements MysqlPool {
  readonly #pool: Pool
  readonly #raw: Raw
  readonly #options: Options
  readonly #idle = new Set<Connection>()
  /** Until when a connection may be used again; absent: it has not got its session yet. */
  readonly #goodUntil = new WeakMap<Connection, number>()
  /** Connections from before this moment lead to a server that we have left. */
  #leftAt = 0
  #onLeft = () => {}

  constructor(pool: Pool, raw: Raw, options: Options) {
    this.#pool = pool
    this.#raw = raw
    this.#options = options
    pool.on('acquire', (connection) => this.#idle.delete(connection as unknown as Connection))
    pool.on('release', (connection) => this.#idle.add(connection as unknown as Connection))
    pool.on('connection', (connection) => this.#prepare(connection as unknown as Connection))
  }

  /** @param mustCatchUp whoever asks comes from another server, and must not read here what was so before */
  getConnection(done: (error: unknown, connection: MysqlPoolConnection) => void, mustCatchUp = false): void {
    this.#pool.getConnection((error, taken) => {
      const connection = taken as unknown as Connection
      if (error || (this.#goodUntil.has(connection) && !mustCatchUp)) return done(error, connection)
      const prepared = (refused: unknown) => {
        if (refused) connection.destroy()
        else this.#goodUntil.set(connection, performance.now() + MAX_AGE_MS * (1 - Math.random() / 5))
        done(refused, connection)
      }
      this.#begin(connection, (refused) => {
        if (refused || !mustCatchUp) prepared(refused)
        else connection.query(CAUGHT_UP, [], prepared)
      })
    })
  }

  /** Called when a server takes no writes, or owes an answer; its connections are on their way out by then. */
  onLeft(call: () => void): void {
    this.#onLeft = call
  }

  end(done: (error: unknown) => void): void {
    this.#pool.end(done)
  }

  /** A node that is cut off from its cluster answers the session, and refuses (1047) what comes next. */
  #begin(connection: Connection, done: (refused: unknown) => void): void {
    connection.query(this.#options.session, [], (refused) => {
      if (refused || !this.#options.mustTakeWrites) return done(refused)
      connection.query('select @@global.read_only as isReadOnly', [], (error, rows) => {
        const [row] = (rows ?? []) as { isReadOnly: number }[]
        done(error ?? (row?.isReadOnly === 0 ? null : READ_ONLY))
      })
    })
  }

  /** Gives its statements safe literals and an end, and ends it instead of taking it back once it is spent. */
  #prepare(connection: Connection): void {
    const openedAt = performance.now()
    connection.once('end', () => this.#idle.delete(connection))
    const release = connection.release.bind(connection)
    connection.release = () => {
      const isSpent = openedAt < this.#leftAt || performance.now() > (this.#goodUntil.get(connection) ?? 0)
      if (isSpent) connection.end()
      else release()
    }
    const query = connection.query.bind(connection) as unknown as (options: object, done: Done) => unknown
    const bounded = (sql: string, values: readonly unknown[], done: Done) => {
      const heard: Done = (error, ...rest) => {
        clearTimeout(timer) // mysql2's own goes on where the connection is lost, and later calls it overdue
        if (error) this.#lookAt(error, connection)
        const isDone = this.#options.changesTables && isDoneAlready(error)
        done(isDone ? null : error, ...rest)
      }
      const timer = setTimeout(() => heard(overdue()), this.#options.statementMs)
      return query({ sql, values: values.map((value) => literalOf(value, this.#raw)) }, heard)
    }
    connection.query = bounded as unknown as typeof connection.query
  }

  #lookAt(error: NodeJS.ErrnoException, connection: Connection): void {
    if (error.code === 'PROTOCOL_SEQUENCE_TIMEOUT') {
      // The network forgot this connection, and most likely the others too: each would cost a timeout.
      for (const one of [connection, ...this.#idle]) one.destroy()
      this.#idle.clear()
      this.#onLeft()
    } else if (isReadOnly(error)) {
      // Those in use end when they are given back.
      this.#leftAt = performance.now()
      for (const one of this.#idle) one.end()
      this.#idle.clear()
      this.#onLeft()
    }
  }
}
