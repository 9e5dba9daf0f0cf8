/**
 * The rows behind the brokers' backs: read to judge them, changed to bring credentials into a state at will.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Selectable } from 'kysely'
import { noteChange } from '../../src/storage/changes.ts'
import type { Database } from '../../src/storage/database.ts'
import type { ModelConfigRow } from '../../src/storage/tables.ts'
import { newestFingerprint } from './grants.ts'
import type { Login } from './stage.ts'

export type Row = Pick<
  ModelConfigRow,
  | 'id'
  | 'updated_at'
  | 'oauth_version'
  | 'oauth_state'
  | 'oauth_refresh_fingerprint'
  | 'oauth_expires_at'
  | 'oauth_refreshed_at'
  | 'lease_owner'
  | 'lease_until'
  | 'next_attempt_at'
  | 'last_error'
>

type Snapshot = readonly Selectable<ModelConfigRow>[]

const POLL_MS = 20

export class Rows {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async all(): Promise<Row[]> {
    return this.#database.run((db) => db.selectFrom('model_configs').selectAll().execute())
  }

  async read(id: string): Promise<Row> {
    return this.#database.run((db) =>
      db.selectFrom('model_configs').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
    )
  }

  /** Brokers hear of it within a second: see `Broker.hears`. */
  async write(ids: readonly string[], values: Partial<Row>): Promise<void> {
    await this.#database.transaction(async (trx) => {
      await trx.updateTable('model_configs').set(values).where('id', 'in', ids).execute()
      await noteChange(trx)
    })
  }

  /** The rows word for word, for {@link restore}. */
  async snapshot(ids: readonly string[]): Promise<Snapshot> {
    return this.#database.run((db) =>
      db.selectFrom('model_configs').selectAll().where('id', 'in', ids).execute(),
    )
  }

  /** What a restored backup or an older replica does: nobody is told. */
  async restore(rows: Snapshot): Promise<void> {
    await this.#database.transaction(async (trx) => {
      for (const row of rows) {
        const metadata = row.oauth_metadata
        const oauth_metadata = typeof metadata === 'string' ? metadata : JSON.stringify(metadata)
        await trx
          .updateTable('model_configs')
          .set({ ...row, oauth_metadata })
          .where('id', '=', row.id)
          .execute()
      }
    })
  }

  /** Whether the row holds the newest refresh token there is of this login. */
  async holdsNewest(id: string, login: Pick<Login, 'refresh_token'>): Promise<boolean> {
    const row = await this.read(id)
    return row.oauth_refresh_fingerprint === newestFingerprint(login.refresh_token)
  }

  /** Whether a row comes to hold the newest refresh token of this login. The database may be away at first. */
  async untilNewest(
    id: string,
    { refresh_token }: Pick<Login, 'refresh_token'>,
    withinMs: number,
  ): Promise<boolean> {
    const isNewest = (row: Row) => row.oauth_refresh_fingerprint === newestFingerprint(refresh_token)
    return (await this.until(id, isNewest, withinMs)) !== undefined
  }

  /** Whether a row that holds the newest refresh token of this login gets another one, within `withinMs`. */
  async isOverwritten(
    id: string,
    { refresh_token }: Pick<Login, 'refresh_token'>,
    withinMs: number,
  ): Promise<boolean> {
    let hasHeld = false
    const isLost = ({ oauth_refresh_fingerprint }: Row) => {
      const holds = oauth_refresh_fingerprint === newestFingerprint(refresh_token)
      hasHeld ||= holds
      return hasHeld && !holds
    }
    return (await this.until(id, isLost, withinMs)) !== undefined
  }

  /** Milliseconds until a row is as wanted, or undefined if it is not within `withinMs`. The database may be away. */
  async until(id: string, isSo: (row: Row) => boolean, withinMs: number): Promise<number | undefined> {
    const startedAt = performance.now()
    while (performance.now() - startedAt < withinMs) {
      const row = await this.read(id).catch(() => undefined)
      if (row && isSo(row)) return performance.now() - startedAt
      await sleep(POLL_MS)
    }
    return undefined
  }
}
