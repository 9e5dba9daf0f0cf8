/**
 * Waits for SQLite's locks without holding the process up.
 *
 * SQLite runs in the thread that answers calls, and so would its busy timeout: while another process holds the write
 * lock, every stream would stand still. So it is told not to wait, and whoever met a lock tries again after a pause.
 * Nobody waits for those who wait: reads go on, and only a transaction has the one connection to itself. Those who wait
 * stand in a line: one of them asks for the lock, and once it is free they do not write all at once, for that would
 * hold the process up as well.
 *
 * A transaction takes the write lock at its beginning. A deferred one that reads and then writes is refused at once
 * when another process wrote in between, however patient.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { CompiledQuery, type DatabaseConnection, type QueryResult, SqliteDriver } from 'kysely'

const PATIENCE_MS = 5_000
const FIRST_PAUSE_MS = 1
const MAX_PAUSE_MS = 25

export class PatientSqliteDriver extends SqliteDriver {
  readonly #turn = new Turn()
  readonly #line = new Line()

  override async acquireConnection(): Promise<DatabaseConnection> {
    return new PatientConnection(await super.acquireConnection(), this.#turn, this.#line)
  }

  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await (connection as PatientConnection).begin()
  }

  override async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await super.commitTransaction(connection)
    ;(connection as PatientConnection).end()
  }

  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await super.rollbackTransaction(connection)
    } finally {
      ;(connection as PatientConnection).end()
    }
  }
}

/** Whose turn it is: a transaction's, or everybody's. */
class Turn {
  #taken: PromiseWithResolvers<void> | undefined

  get taken(): boolean {
    return this.#taken !== undefined
  }

  /** Settles after the transaction that has the turn; the process goes on in between. */
  async ended(): Promise<void> {
    await this.#taken?.promise
    await nextTurn()
  }

  take(): void {
    this.#taken = Promise.withResolvers()
  }

  giveBack(): void {
    this.#taken?.resolve()
    this.#taken = undefined
  }
}

/** Of those who met a lock, and of transactions, the oldest first. */
class Line {
  #last: Promise<void> = Promise.resolve()

  /** Runs `work` when all before it have had theirs, whatever came of it. */
  async queue<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#last
    const mine = before.then(work)
    this.#last = mine.then(
      () => {},
      () => {},
    )
    return mine
  }
}

/** What one caller sees of the one connection. */
class PatientConnection implements DatabaseConnection {
  readonly #connection: DatabaseConnection
  readonly #turn: Turn
  readonly #line: Line
  #isInTransaction = false

  constructor(connection: DatabaseConnection, turn: Turn, line: Line) {
    this.#connection = connection
    this.#turn = turn
    this.#line = line
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#isInTransaction) return this.#connection.executeQuery<R>(query)
    return this.#patiently(() => this.#connection.executeQuery<R>(query))
  }

  streamQuery<R>(query: CompiledQuery, chunkSize: number) {
    return this.#connection.streamQuery<R>(query, chunkSize)
  }

  async begin(): Promise<void> {
    await this.#patiently(async () => {
      const begun = this.#connection.executeQuery(CompiledQuery.raw('begin immediate'))
      this.#turn.take() // the statement has run already: nobody may come between
      await begun.catch((error) => {
        this.#turn.giveBack()
        throw error
      })
    }, true)
    this.#isInTransaction = true
  }

  end(): void {
    if (!this.#isInTransaction) return
    this.#isInTransaction = false
    this.#turn.giveBack()
  }

  /** @param isTransaction it stands in line also where only another transaction of this process is under way */
  async #patiently<T>(work: () => Promise<T>, isTransaction = false): Promise<T> {
    const giveUpAt = performance.now() + PATIENCE_MS
    while (this.#turn.taken && !isTransaction) await this.#turn.ended()
    try {
      if (!this.#turn.taken) return await work()
    } catch (error) {
      if (!isBusy(error)) throw error
    }
    return this.#line.queue(() => this.#tryUntil(giveUpAt, work))
  }

  async #tryUntil<T>(giveUpAt: number, work: () => Promise<T>): Promise<T> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      await nextTurn()
      while (this.#turn.taken) await this.#turn.ended()
      try {
        return await work()
      } catch (error) {
        if (!isBusy(error) || performance.now() > giveUpAt) throw error
      }
      await sleep(pauseMs)
    }
  }
}

function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test((error as { code?: string }).code ?? '')
}
