/**
 * Who may call: broker keys, `sk-tb-` and 256 random bits, stored as SHA-256 and shown once.
 */
import { hash, randomBytes, randomUUID } from 'node:crypto'
import type { Transaction } from 'kysely'
import { LRUCache } from 'lru-cache'
import { MINUTE } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { type ChangeWatcher, noteChange } from '../storage/changes.ts'
import type { Database } from '../storage/database.ts'
import { RowCache } from '../storage/row-cache.ts'
import type { ApiKeyRow, Tables } from '../storage/tables.ts'

export interface ApiKey {
  readonly id: string
  readonly name: string
  /** The first characters of the key, so that a person can tell keys apart. */
  readonly prefix: string
  /** In order of preference; null: every config. */
  readonly modelConfigIds: readonly string[] | null
  /** null: every model. */
  readonly models: readonly string[] | null
  readonly requestsPerMinute: number | null
  /** Epoch ms. */
  readonly expiresAt: number | null
  readonly createdAt: number
}

export interface NewApiKey {
  readonly name: string
  readonly modelConfigIds?: readonly string[] | null
  readonly models?: readonly string[] | null
  readonly requestsPerMinute?: number | null
  readonly expiresAt?: number | null
}

const PREFIX = 'sk-tb-'
const KEY = /^sk-tb-[A-Za-z0-9_-]{43}$/
const SHOWN_CHARACTERS = PREFIX.length + 6
const MAX_CACHED = 100_000
const MAX_UNKNOWN = 10_000
/** While the database is away, keys go on working this long (design.md §4). */
const MAX_SILENCE_MS = 5 * MINUTE

export class ApiKeys {
  readonly #database: Database
  readonly #changes: ChangeWatcher
  readonly #known: RowCache<ApiKey>
  /** Digests that belong to nobody, so that a wrong key does not cost a query each time. */
  readonly #unknown = new LRUCache<string, true>({ max: MAX_UNKNOWN })

  constructor(database: Database, changes: ChangeWatcher) {
    this.#database = database
    this.#changes = changes
    this.#known = new RowCache(changes, MAX_CACHED)
    changes.onChange(() => this.#unknown.clear())
  }

  /**
   * The key's record. Without a promise while it is cached: the hot path.
   * The digest is what is looked up and compared, so timing tells nothing about the key.
   *
   * @throws BrokerError invalid_api_key | storage_unavailable
   */
  authenticate(presented: string | undefined): ApiKey | Promise<ApiKey> {
    if (presented === undefined || !KEY.test(presented)) throw new BrokerError('invalid_api_key')
    const digest = digestOf(presented)
    const known = this.#known.get(digest)
    if (!known) return this.#known.load(digest, () => this.#read(digest)).then((read) => this.#checked(read))
    if (this.#changes.silentForMs > MAX_SILENCE_MS) {
      throw new BrokerError('storage_unavailable', { retryAfterSeconds: 5 })
    }
    return this.#checked(known)
  }

  /**
   * @returns the record and the key itself, which nobody can see again
   * @throws BrokerError invalid_request if it is to be over a config that is not there
   */
  async create(fields: NewApiKey): Promise<{ record: ApiKey; key: string }> {
    const key = PREFIX + randomBytes(32).toString('base64url')
    const record: ApiKey = {
      id: randomUUID(),
      name: fields.name,
      prefix: key.slice(0, SHOWN_CHARACTERS),
      modelConfigIds: fields.modelConfigIds ?? null,
      models: fields.models ?? null,
      requestsPerMinute: fields.requestsPerMinute ?? null,
      expiresAt: fields.expiresAt ?? null,
      createdAt: Math.trunc(this.#changes.clock()),
    }
    await this.#database.transaction(async (trx) => {
      if (record.modelConfigIds) await assertConfigs(trx, record.modelConfigIds)
      await trx
        .insertInto('api_keys')
        .values(toRow(record, digestOf(key)))
        .execute()
      await noteChange(trx)
    })
    this.#changes.noticed()
    return { record, key }
  }

  async list(): Promise<ApiKey[]> {
    const rows = await this.#database.run((db) =>
      db.selectFrom('api_keys').selectAll().orderBy('created_at').orderBy('id').execute(),
    )
    return rows.map(fromRow)
  }

  /** @throws BrokerError key_not_found */
  async delete(id: string): Promise<void> {
    await this.#database.transaction(async (trx) => {
      const result = await trx.deleteFrom('api_keys').where('id', '=', id).executeTakeFirst()
      if (result.numDeletedRows === 0n) throw new BrokerError('key_not_found')
      await noteChange(trx)
    })
    this.#changes.noticed()
  }

  async #read(digest: string): Promise<ApiKey> {
    if (this.#unknown.has(digest)) throw new BrokerError('invalid_api_key')
    const { seen } = this.#changes
    const row = await this.#database.run((db) =>
      db.selectFrom('api_keys').selectAll().where('key_hash', '=', digest).executeTakeFirst(),
    )
    if (row) return fromRow(row)
    if (seen === this.#changes.seen) this.#unknown.set(digest, true)
    throw new BrokerError('invalid_api_key')
  }

  #checked(record: ApiKey): ApiKey {
    if (record.expiresAt !== null && this.#changes.clock() >= record.expiresAt) {
      throw new BrokerError('invalid_api_key', { reason: 'it has expired' })
    }
    return record
  }
}

async function assertConfigs(trx: Transaction<Tables>, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  const query = trx.selectFrom('model_configs').select('id').where('id', 'in', ids)
  const known = new Set((await query.where('deleted_at', 'is', null).execute()).map(({ id }) => id))
  const unknown = ids.findIndex((id) => !known.has(id))
  if (unknown === -1) return
  const reason = `model_config_ids.${unknown} must be the id of a model config; there is none with this one`
  throw new BrokerError('invalid_request', { reason })
}

function digestOf(key: string): string {
  return hash('sha256', key, 'hex')
}

function toRow(record: ApiKey, digest: string): ApiKeyRow {
  return {
    id: record.id,
    name: record.name,
    key_hash: digest,
    key_prefix: record.prefix,
    model_config_ids: record.modelConfigIds && JSON.stringify(record.modelConfigIds),
    models: record.models && JSON.stringify(record.models),
    requests_per_minute: record.requestsPerMinute,
    expires_at: record.expiresAt,
    created_at: record.createdAt,
  }
}

function fromRow(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    name: row.name,
    prefix: row.key_prefix,
    modelConfigIds: row.model_config_ids === null ? null : (JSON.parse(row.model_config_ids) as string[]),
    models: row.models === null ? null : (JSON.parse(row.models) as string[]),
    requestsPerMinute: row.requests_per_minute,
    expiresAt: row.expires_at,
    createdAt: row.created_at,
  }
}
