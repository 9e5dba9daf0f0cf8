/**
 * Transactions that write a row which all of them write take turns within this process, instead of queueing for it in
 * the server: on a node of a Galera cluster each commit of another node undoes everybody in that queue.
 */
import type { Kysely, Transaction } from 'kysely'
import { within } from '../base/clock.ts'
import type { Tables } from './tables.ts'

/** Then it goes on without: whoever has the turn may hang, and the row has a lock of its own. */
const MAX_WAIT_MS = 3_000

const takes = new WeakMap<Kysely<Tables>, () => Promise<unknown>>()

/** Before a transaction writes such a row, however often. Resolves when all who asked before have ended theirs. */
export async function takeTurn(trx: Kysely<Tables>): Promise<void> {
  await takes.get(trx)?.()
}

/** Of one process at one database. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  async transaction<T>(db: Kysely<Tables>, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    const over = Promise.withResolvers<void>()
    let turn: Promise<unknown> | undefined
    const take = () => {
      if (turn) return turn
      const before = this.#last
      this.#last = before.then(() => over.promise)
      turn = within(MAX_WAIT_MS, before)
      return turn
    }
    try {
      return await db.transaction().execute((trx) => {
        takes.set(trx, take)
        return work(trx)
      })
    } finally {
      over.resolve()
    }
  }
}
