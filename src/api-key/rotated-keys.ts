/**
 * Keys that another has taken the place of, for as long as they work and a while beyond; and keys that were deleted, so
 * that whoever still sends one is told: for a key that is no more, with those that it had taken the place of.
 */
import type { Kysely, Transaction } from 'kysely'
import { DAY } from '../base/clock.ts'
import { BATCH } from '../storage/in-batches.ts'
import type { RotatedKeyRow, Tables } from '../storage/tables.ts'
import type { Seals } from '../vault/seals.ts'
import { isRotated, sealRotated } from './key-rights.ts'

const KEPT_MS = 400 * DAY

type NewRow = Omit<RotatedKeyRow, 'key_seal'>

export class RotatedKeys {
  readonly #seals: Seals

  constructor(seals: Seals) {
    this.#seals = seals
  }

  /** The row of a digest, to be joined. */
  ofDigest(db: Kysely<Tables>, digest: string) {
    return db
      .selectFrom('rotated_keys')
      .where('rotated_keys.key_hash', '=', digest)
      .select(['key_id', 'ends_at', 'key_seal'])
  }

  /** A key that works until the row says, and no longer; nor do those before it. @param now epoch ms */
  async add(trx: Transaction<Tables>, row: NewRow, now: number): Promise<void> {
    const { key_id } = row
    await this.#endSooner(trx, row)
    await trx.deleteFrom('rotated_keys').where('key_id', '=', key_id).where('ends_at', '<=', now).execute()
    await this.#insert(trx, row)
  }

  /** A key that was deleted. @param row which ends now */
  async bury(trx: Transaction<Tables>, row: NewRow): Promise<void> {
    await this.#clearSome(trx, row.ends_at - KEPT_MS)
    await this.#insert(trx, row)
  }

  /** More than come. */
  async #clearSome(trx: Transaction<Tables>, before: number): Promise<void> {
    const old = trx.selectFrom('rotated_keys').select('key_hash').where('ends_at', '<', before).limit(BATCH)
    const hashes = (await old.execute()).map((row) => row.key_hash)
    if (hashes.length > 0) await trx.deleteFrom('rotated_keys').where('key_hash', 'in', hashes).execute()
  }

  async #insert(trx: Transaction<Tables>, row: NewRow): Promise<void> {
    await trx
      .insertInto('rotated_keys')
      .values({ ...row, ...sealRotated(this.#seals, row) })
      .execute()
  }

  /** Those of the same record that would work for longer. */
  async #endSooner(trx: Transaction<Tables>, { key_id, ends_at }: NewRow): Promise<void> {
    const query = trx.selectFrom('rotated_keys').selectAll().where('key_id', '=', key_id)
    for (const row of await query.where('ends_at', '>', ends_at).execute()) {
      const seal = isRotated(this.#seals, row) ? sealRotated(this.#seals, { ...row, ends_at }) : {}
      const change = trx.updateTable('rotated_keys').set({ ends_at, ...seal })
      await change.where('key_hash', '=', row.key_hash).execute()
    }
  }
}
