/**
 * Links that log a config in again: random, stored as SHA-256, good once and for a week.
 */
import { hash, randomBytes } from 'node:crypto'
import { type Clock, DAY } from '../base/clock.ts'
import type { Database } from '../storage/database.ts'

const LIFETIME_MS = 7 * DAY

export class LoginLinks {
  readonly #database: Database
  readonly #clock: Clock

  constructor(database: Database, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  /** @returns the secret part of the link */
  async create(configId: string): Promise<string> {
    const token = randomBytes(32).toString('base64url')
    const now = Math.trunc(this.#clock())
    await this.#database.run(async (db) => {
      await db.deleteFrom('login_links').where('expires_at', '<', now).execute()
      const row = { token_hash: digestOf(token), config_id: configId, expires_at: now + LIFETIME_MS }
      await db.insertInto('login_links').values(row).execute()
    })
    return token
  }

  /** The config of a link that is still good; it stays good. */
  async peek(token: string): Promise<string | undefined> {
    const row = await this.#database.run((db) =>
      db.selectFrom('login_links').selectAll().where('token_hash', '=', digestOf(token)).executeTakeFirst(),
    )
    return row && row.expires_at > this.#clock() ? row.config_id : undefined
  }

  /** The config of the link, for exactly one caller. */
  async use(token: string): Promise<string | undefined> {
    const configId = await this.peek(token)
    const result = await this.#database.run((db) =>
      db.deleteFrom('login_links').where('token_hash', '=', digestOf(token)).executeTakeFirst(),
    )
    return result.numDeletedRows === 1n ? configId : undefined
  }
}

function digestOf(token: string): string {
  return hash('sha256', token, 'hex')
}
