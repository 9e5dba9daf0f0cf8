/**
 * Broker keys as rows, and the keys that they took the place of.
 */
import { randomUUID } from 'node:crypto'
import type { Transaction } from 'kysely'
import { SECOND } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { type Actor, recordAudit, SYSTEM } from '../storage/audit-log.ts'
import { type ChangeWatcher, noteChange } from '../storage/changes.ts'
import type { Database } from '../storage/database.ts'
import type { Change } from '../storage/last-changes.ts'
import { configsThere } from '../storage/look-ups.ts'
import type { ApiKeyRow, Tables } from '../storage/tables.ts'
import type { Seals } from '../vault/seals.ts'
import {
  type ApiKeyFields,
  type FoundKey,
  fieldColumns,
  fromRow,
  makeKey,
  PLAIN,
  type StoredKey,
  toStored,
} from './api-key.ts'
import { isRightGiven, isRotated, sealRight } from './key-rights.ts'
import { RotatedKeys } from './rotated-keys.ts'

/** A record, and its key, which nobody can see again. */
export interface MadeKey {
  readonly record: StoredKey
  readonly key: string
}

const MAX_SHOWN = 20
const COLUMNS = [
  'id',
  'name',
  'key_prefix',
  'model_config_ids',
  'models',
  'requests_per_minute',
  'may_read_tokens',
  'expires_at',
  'created_at',
  'key_hash',
  'right_seal',
] as const
type FoundRow = Pick<ApiKeyRow, (typeof COLUMNS)[number]> & {
  readonly ends_at: number | null
  readonly key_seal: string | null
}
const QUALIFIED = COLUMNS.map((column) => `api_keys.${column}` as const)

export class ApiKeyStore {
  readonly #database: Database
  readonly #changes: ChangeWatcher
  readonly #seals: Seals
  readonly #rotated: RotatedKeys

  constructor(database: Database, changes: ChangeWatcher, seals: Seals) {
    this.#database = database
    this.#changes = changes
    this.#seals = seals
    this.#rotated = new RotatedKeys(seals)
  }

  /** By the digest of a key that is, or that was rotated and may still work. One query. */
  async find(digest: string): Promise<FoundKey | 'deleted' | undefined> {
    const row = await this.#database.run((db) =>
      db
        .selectFrom('api_keys')
        .where('key_hash', '=', digest)
        .select(QUALIFIED)
        .select((is) => [
          is.lit<number | null>(null).as('ends_at'),
          is.lit(null).$castTo<string | null>().as('key_seal'),
        ])
        .unionAll(
          db
            .selectFrom(this.#rotated.ofDigest(db, digest).as('rotated'))
            .leftJoin('api_keys', 'api_keys.id', 'rotated.key_id')
            .select(QUALIFIED)
            .select(['rotated.ends_at', 'rotated.key_seal'])
            .$castTo<FoundRow>(), // or NULL but for the end: the key itself is gone
        )
        .executeTakeFirst(),
    )
    if (!row) return undefined
    if (!row.id) return 'deleted'
    const { ends_at, key_seal, id: key_id } = row
    const isKey = ends_at === null || isRotated(this.#seals, { key_hash: digest, key_id, ends_at, key_seal })
    const mayReadTokens = row.may_read_tokens === 1 && isKey && isRightGiven(this.#seals, row)
    return { ...fromRow(row), mayReadTokens, replacedAt: ends_at }
  }

  /** @throws BrokerError invalid_request if it is to be over a config that is not there */
  async create(
    given: Partial<ApiKeyFields> & Pick<ApiKeyFields, 'name'>,
    by: Actor = SYSTEM,
  ): Promise<MadeKey> {
    const fields: ApiKeyFields = { ...PLAIN, ...given }
    const { key, digest, prefix } = makeKey()
    const record = { id: randomUUID(), ...fields, prefix, createdAt: this.#changes.clock(), lastUsedAt: null }
    await this.#write(record.id, async (trx) => {
      await assertConfigs(trx, record.modelConfigIds ?? [])
      const { id, createdAt: created_at } = record
      const made = { id, key_hash: digest, key_prefix: prefix, created_at, last_used_at: null }
      const row = { ...made, ...fieldColumns(fields) } as ApiKeyRow
      await trx
        .insertInto('api_keys')
        .values({ ...row, ...sealRight(this.#seals, row) })
        .execute()
      const details = { prefix, ...shown(fields) }
      await recordAudit(trx, this.#database, { type: 'key.created', by, key: record, details })
    })
    return { record, key }
  }

  /**
   * Everything but the key itself.
   * @throws BrokerError key_not_found | invalid_request if it is to be over a config that is not there
   */
  async update(id: string, changed: Partial<ApiKeyFields>, by: Actor = SYSTEM): Promise<StoredKey> {
    return this.#write(id, async (trx) => {
      const row = await readRow(trx, id)
      const before = toStored(row)
      await assertConfigs(trx, changed.modelConfigIds ?? [], before.modelConfigIds ?? [])
      const fields = { id, ...fieldColumns(changed) }
      // A right that nobody gave is not signed because something else of the key changes.
      const isGiven = changed.mayReadTokens !== undefined || isRightGiven(this.#seals, row)
      const columns = { ...fields, ...(isGiven && sealRight(this.#seals, { ...row, ...fields })) }
      const done = await trx.updateTable('api_keys').set(columns).where('id', '=', id).executeTakeFirst()
      if (done.numUpdatedRows !== 1n) throw new BrokerError('key_not_found')
      const after = toStored(await readRow(trx, id))
      const details = changesOf(shown(before), shown(after))
      if (details) await recordAudit(trx, this.#database, { type: 'key.updated', by, key: after, details })
      return after
    })
  }

  /**
   * Another key for the same record. The one before works for the overlap, and no longer; so do those before it.
   * @throws BrokerError key_not_found
   */
  async rotate(id: string, overlapSeconds: number, by: Actor = SYSTEM): Promise<MadeKey> {
    for (;;) {
      const made = await this.#write(id, (trx) => this.#replaceKey(trx, id, overlapSeconds, by))
      if (made) return made
    }
  }

  /** Undefined if somebody else has just rotated it. */
  async #replaceKey(
    trx: Transaction<Tables>,
    id: string,
    overlapSeconds: number,
    by: Actor,
  ): Promise<MadeKey | undefined> {
    const { key, digest, prefix } = makeKey()
    const now = this.#changes.clock()
    const row = await readRow(trx, id)
    const { key_hash } = row
    const replaced = await trx
      .updateTable('api_keys')
      .set({
        key_hash: digest,
        key_prefix: prefix,
        ...(isRightGiven(this.#seals, row) && sealRight(this.#seals, { ...row, key_hash: digest })),
      })
      .where('id', '=', id)
      .where('key_hash', '=', key_hash)
      .executeTakeFirst()
    if (replaced.numUpdatedRows !== 1n) return undefined
    await this.#rotated.add(trx, { key_hash, key_id: id, ends_at: now + overlapSeconds * SECOND }, now)
    const record = toStored({ ...row, key_prefix: prefix })
    const details = { prefix, overlap_seconds: overlapSeconds }
    await recordAudit(trx, this.#database, { type: 'key.rotated', by, key: record, details })
    return { record, key }
  }

  /** @throws BrokerError key_not_found */
  async delete(id: string, by: Actor = SYSTEM): Promise<void> {
    await this.#write(id, async (trx) => {
      const { name, key_hash } = await readRow(trx, id)
      await this.#rotated.bury(trx, { key_hash, key_id: id, ends_at: this.#changes.clock() })
      const result = await trx.deleteFrom('api_keys').where('id', '=', id).executeTakeFirst()
      if (result.numDeletedRows === 0n) throw new BrokerError('key_not_found')
      await recordAudit(trx, this.#database, { type: 'key.deleted', by, key: { id, name } })
    })
  }

  /** So many keys were last used in the same minute. */
  async storeUses(ids: readonly string[], minute: number): Promise<void> {
    await this.#database.run((db) =>
      db
        .updateTable('api_keys')
        .set({ last_used_at: minute })
        .where('id', 'in', ids)
        .where((row) => row.or([row('last_used_at', 'is', null), row('last_used_at', '<', minute)]))
        .execute(),
    )
  }

  async #write<T>(id: string, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    const changed: readonly Change[] = [{ kind: 'key', id }]
    const done = await this.#database.transaction(async (trx) => {
      const result = await work(trx)
      await noteChange(trx, changed)
      return result
    })
    this.#changes.noticed(changed)
    return done
  }
}

async function readRow(trx: Transaction<Tables>, id: string): Promise<ApiKeyRow> {
  const row = await trx.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirst()
  if (!row) throw new BrokerError('key_not_found')
  return row
}

/** @param already what the key is over now: one of those may be gone */
async function assertConfigs(
  trx: Transaction<Tables>,
  ids: readonly string[],
  already: readonly string[] = [],
): Promise<void> {
  if (ids.length === 0) return
  const known = new Set([...already, ...(await configsThere(trx, ids))])
  const unknown = ids.findIndex((id) => !known.has(id))
  if (unknown === -1) return
  const field = `model_config_ids.${unknown}`
  const reason = {
    english: `${field} must be the id of a model config; there is none with this one`,
    chinese: `${field} 不是现有模型配置的 id`,
  }
  throw new BrokerError('invalid_request', { reason })
}

type Shown = Readonly<Record<string, unknown>>

/** What a key may do, for the audit. */
function shown(fields: ApiKeyFields): Shown {
  return {
    name: fields.name,
    model_config_ids: fields.modelConfigIds?.slice(0, MAX_SHOWN) ?? null,
    models: fields.models?.slice(0, MAX_SHOWN) ?? null,
    requests_per_minute: fields.requestsPerMinute,
    may_read_tokens: fields.mayReadTokens,
    expires_at: fields.expiresAt,
  }
}

function changesOf(before: Shown, after: Shown): object | undefined {
  const changed = Object.keys(after).filter(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  )
  const pick = (of: Shown) => Object.fromEntries(changed.map((name) => [name, of[name]]))
  return changed.length > 0 ? { changed, from: pick(before), to: pick(after) } : undefined
}
