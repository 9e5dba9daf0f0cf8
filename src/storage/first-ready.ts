/**
 * Several servers that hold the same rows: of those in DATABASE_URL, the first that is ready and takes writes.
 *
 * One that refuses a connection, or a write, or owes an answer is asked last for a while.
 */
import type { MysqlPool, MysqlPoolConnection } from 'kysely'
import type { SessionPool } from './session-pool.ts'

/** So long a server that failed is asked after all others: connecting to one that is silent takes seconds. */
const REST_MS = 10_000

type Done = (error: unknown, connection: MysqlPoolConnection) => void

export class FirstReady implements MysqlPool {
  readonly #pools: readonly SessionPool[]
  /** When each may be asked in its turn again; 0: now. */
  readonly #restsUntil: number[]
  /** Which was asked last. */
  #present: number | undefined

  constructor(pools: readonly SessionPool[]) {
    this.#pools = pools
    this.#restsUntil = pools.map(() => 0)
    for (const [index, pool] of pools.entries()) pool.onLeft(() => this.#rest(index))
  }

  getConnection(done: Done): void {
    const now = performance.now()
    const isResting = (index: number) => (this.#restsUntil[index] ?? 0) > now
    const order = [...this.#pools.keys()].sort((a, b) => Number(isResting(a)) - Number(isResting(b)) || a - b)
    this.#ask(order, done)
  }

  /** @param order indexes of the servers that are left to ask, never none */
  #ask([index = 0, ...others]: readonly number[], done: Done): void {
    const isAnother = this.#present !== undefined && this.#present !== index
    this.#pools[index]?.getConnection((error, connection) => {
      if (error) this.#rest(index)
      else this.#present = index
      if (!error || others.length === 0) done(error, connection)
      else this.#ask(others, done)
    }, isAnother)
  }

  #rest(index: number): void {
    this.#restsUntil[index] = performance.now() + REST_MS
  }

  end(done: (error: unknown) => void): void {
    let left = this.#pools.length
    let first: unknown = null
    for (const pool of this.#pools) {
      pool.end((error) => {
        first ??= error
        left -= 1
        if (left === 0) done(first)
      })
    }
  }
}
