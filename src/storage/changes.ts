/**
 * Tells every replica which keys and configs changed: a counter, raised in the transaction of the change, and a row in
 * a log that says of what; both are read once a second. What was cached stays valid until it is named there, so that a
 * hot path needs no time limits of its own and a deleted key is gone everywhere within 5 s (docs/api.md, Management).
 *
 * A change has the number that it raised the counter to. Whoever raises it holds its row until the end of the
 * transaction, so numbers become visible in their order, and one that is missing was written by an earlier release,
 * which knows no log: then everything may have changed. So it may if the change that was seen last is another by now,
 * for then this is another history, of a restored backup or an older replica.
 *
 * On a Galera cluster two nodes may raise it to the same value; one of them is refused when it commits, and does it
 * again. Each node then shows both in one and the same order.
 *
 * The same query reads the database's clock, which all replicas then share.
 */
import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { type Clock, systemClock } from '../base/clock.ts'
import { every } from '../base/every.ts'
import type { Logger } from '../base/log.ts'
import type { Database } from './database.ts'
import { type Change, LastChanges } from './last-changes.ts'
import type { Tables } from './tables.ts'
import { takeTurn } from './turns.ts'

const POLL_MS = 1_000
/** So many of the last changes stay in the log; who has not looked for longer forgets everything. */
const KEPT = 10_000
/** Each of so many changes clears up after the others. */
const CLEARED_EVERY = 100
const MAX_ROWS = 10_000

/**
 * Call it at the end of the transaction that changes a key or a config.
 * @param changed undefined: anything
 */
export async function noteChange(trx: Kysely<Tables>, changed?: readonly Change[]): Promise<void> {
  await takeTurn(trx)
  await trx.updateTable('change_counter').set({ value: sql<number>`value + 1` }).where('id', '=', 1).execute()
  if (!changed) return
  const counter = trx.selectFrom('change_counter').select('value').where('id', '=', 1)
  const { value: number } = await counter.executeTakeFirstOrThrow()
  const mark = randomUUID()
  const rows = changed.map(({ kind, id }) => ({ number, kind, row_id: id, mark }))
  await trx.insertInto('change_log').values(rows).execute()
  if (number % CLEARED_EVERY === 0)
    await trx
      .deleteFrom('change_log')
      .where('number', '<=', number - KEPT)
      .execute()
}

export class ChangeWatcher {
  readonly #database: Database
  readonly #log: Logger
  readonly #listeners: ((changed: readonly Change[] | undefined) => void)[] = []
  readonly #wentBack: (() => void)[] = []
  readonly #last = new LastChanges()
  #value: number | undefined
  /** Of the change that gave the counter this value; undefined where the log does not say. */
  #mark: string | undefined
  /** Looks begun so far, and the last of them that was answered. */
  #asked = 0
  #answered = 0
  #seen = 0
  #skewMs = 0
  #lastSeenAt = 0
  #stop: (() => void) | undefined

  constructor(database: Database, log: Logger) {
    this.#database = database
    this.#log = log
  }

  /** The database's time, as far as this process last saw it. */
  readonly clock: Clock = () => systemClock() + this.#skewMs

  /** Milliseconds since the database last answered: how old a cached key may be. */
  get silentForMs(): number {
    return performance.now() - this.#lastSeenAt
  }

  /**
   * How often this process has seen changes. Whoever keeps what was read of a row keeps beside it what this was before
   * the read, and asks {@link hasChanged}.
   */
  get seen(): number {
    return this.#seen
  }

  /** Whether a key or config may be different from what was read when so many changes had been seen. */
  hasChanged(id: string, since: number): boolean {
    return this.#last.hasChanged(id, since)
  }

  /** Those that may be different; undefined: any. */
  changedSince(since: number, kind: Change['kind']): readonly string[] | undefined {
    return this.#last.changedSince(since, kind)
  }

  /** @param listener told of what; undefined: anything */
  onChange(listener: (changed: readonly Change[] | undefined) => void): void {
    this.#listeners.push(listener)
  }

  /** The counter fell: this is an earlier state of the database, a restored backup or an older replica. */
  onWentBack(listener: () => void): void {
    this.#wentBack.push(listener)
  }

  /** Looks once, then once a second. @throws BrokerError storage_unavailable */
  async start(): Promise<void> {
    await this.look()
    this.#stop = every(POLL_MS, async () => {
      try {
        await this.look()
      } catch (error) {
        this.#log.warn({ err: error }, 'the database does not answer')
      }
    })
  }

  stop(): void {
    this.#stop?.()
  }

  /** This process knows of a change already, for instance its own. @param changed undefined: anything */
  noticed(changed?: readonly Change[]): void {
    this.#seen += 1
    if (changed) this.#last.note(changed, this.#seen)
    else this.#last.noteAll(this.#seen)
    for (const listener of this.#listeners) listener(changed)
  }

  /** Reads counter, log and clock now. Of two looks at the same time the one begun first may be answered last: it is old. */
  async look(): Promise<void> {
    this.#asked += 1
    const asked = this.#asked
    const askedAt = systemClock()
    const since = this.#value
    const rows = await this.#database.run((db) => logSince(db, this.#database, since))
    const [{ value, now }] = rows
    if (asked < this.#answered) return
    this.#answered = asked
    this.#lastSeenAt = performance.now()
    this.#skewMs = Math.round(now - (askedAt + systemClock()) / 2)
    const before = this.#value
    const isSameHistory = before === undefined || markOf(before, rows) === this.#mark
    this.#value = value
    this.#mark = markOf(value, rows)
    if (before === undefined) return
    if (!isSameHistory) this.noticed()
    else if (value !== before) this.noticed(changesIn(rows, before))
    if (value < before) for (const listener of this.#wentBack) listener()
  }
}

/** The counter, and beside it the log from the change on that was seen last. */
interface LogRow {
  readonly value: number
  readonly now: number
  readonly number: number | null
  readonly kind: string | null
  readonly row_id: string | null
  readonly mark: string | null
}

async function logSince(
  db: Kysely<Tables>,
  { nowMs }: Database,
  since: number | undefined,
): Promise<[LogRow, ...LogRow[]]> {
  const [first, ...others] = await db
    .selectFrom('change_counter')
    .leftJoin('change_log', (join) =>
      join.on(({ eb, ref, val }) => eb('number', '>=', since === undefined ? ref('value') : val(since))),
    )
    .select(['value', sql<number>`${nowMs}`.as('now'), 'number', 'kind', 'row_id', 'mark'])
    .where('change_counter.id', '=', 1)
    .orderBy('number')
    .limit(MAX_ROWS + 1)
    .execute()
  if (!first) throw new Error('change_counter is empty')
  return [first, ...others]
}

function markOf(number: number, rows: readonly LogRow[]): string | undefined {
  return rows.find((row) => row.number === number)?.mark ?? undefined
}

/** Undefined if it does not say what every one of them was of. */
function changesIn(rows: readonly LogRow[], before: number): Change[] | undefined {
  const { value } = rows[0] as LogRow
  if (value < before || rows.length > MAX_ROWS) return undefined
  const numbers = new Set<number>()
  const changes: Change[] = []
  for (const { number, kind, row_id } of rows) {
    if (number === null || row_id === null || number <= before) continue
    numbers.add(number)
    changes.push({ kind: kind === 'key' ? 'key' : 'config', id: row_id })
  }
  return numbers.size === value - before ? changes : undefined
}
