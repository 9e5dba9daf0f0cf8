/**
 * Writes model configs: makes their rows, changes them and empties them.
 *
 * The credential's columns of a row are `credential/`'s, which hands in what they are to hold: one statement writes both.
 */
import { randomUUID } from 'node:crypto'
import type { InsertObject, Transaction } from 'kysely'
import { BrokerError } from '../base/errors.ts'
import { recordEvent } from '../storage/audit-events.ts'
import { type Actor, recordAudit, SYSTEM } from '../storage/audit-log.ts'
import { type ChangeWatcher, noteChange } from '../storage/changes.ts'
import { type Database, DuplicateError } from '../storage/database.ts'
import type { Change } from '../storage/last-changes.ts'
import type { ModelConfigRow, Tables } from '../storage/tables.ts'
import { aliasesColumn, type ConfigFields, changesOf } from './config-fields.ts'
import type { StoredConfig } from './model-config-reader.ts'

type CredentialColumn = Extract<
  keyof ModelConfigRow,
  `oauth_${string}` | `lease_${string}` | 'attempt_id' | 'last_attempt_id' | 'next_attempt_at' | 'last_error'
>
/** What the credential's columns of a row are to hold, sealed to it. */
export type CredentialValues = Pick<InsertObject<Tables, 'model_configs'>, CredentialColumn>

/** Tokens, a key, or neither: what a config is to hold from now on. */
export interface NewLogin {
  /** Of a row that is being made. */
  readonly first: (row: Pick<ModelConfigRow, 'id' | 'provider'>) => CredentialValues
  /** Over whatever the row held. */
  readonly next: (row: Pick<ModelConfigRow, 'id' | 'provider'>) => CredentialValues
  /** What ends with it, in the same transaction, e.g. the device session that its tokens come from. */
  readonly taken?: (trx: Transaction<Tables>) => Promise<void>
  /** Nobody logged in: what there was is of no more use with the inputs that came. */
  readonly isEnd?: boolean
}

/** Ties a config's columns to its row. */
interface ConfigSeals {
  config(row: SealedConfig): { config_seal: string }
  /** @throws BrokerError decryption_failed */
  checkConfig(row: SealedConfig & Pick<ModelConfigRow, 'config_seal'>): void
}
type SealedConfig = Pick<
  ModelConfigRow,
  'id' | 'provider' | 'base_url' | 'api_key' | 'inputs' | 'inputs_sealed'
>

export class ModelConfigStore {
  readonly #database: Database
  readonly #seals: ConfigSeals
  readonly #changes: ChangeWatcher

  constructor(database: Database, seals: ConfigSeals, changes: ChangeWatcher) {
    this.#database = database
    this.#seals = seals
    this.#changes = changes
  }

  private get now(): number {
    return this.#changes.clock()
  }

  /** @throws BrokerError name_taken | external_id_taken, or as `login.taken` */
  async create(fields: ConfigFields, login: NewLogin, by: Actor = SYSTEM): Promise<string> {
    const id = randomUUID()
    const { now } = this
    const { inputs, ...plain } = fields
    const columns = { ...plain, ...NO_INPUTS, ...inputs?.columns }
    await this.#write(id, async (trx) => {
      await trx
        .insertInto('model_configs')
        .values({
          id,
          ...columns,
          active_name: fields.name,
          models: JSON.stringify(fields.models),
          aliases: aliasesColumn(fields.aliases),
          is_active: fields.is_active ? 1 : 0,
          created_at: now,
          updated_at: now,
          ...this.#seals.config({ id, ...columns }),
          ...login.first({ id, provider: fields.provider }),
        })
        .execute()
      await login.taken?.(trx)
      const { base_url, is_active, external_id } = fields
      const named = inputs && inputs.changed.length > 0 && { inputs: inputs.changed }
      const details = { base_url, is_active, ...(external_id && { external_id }), ...named }
      await recordAudit(trx, this.#database, { type: 'config.created', by, configId: id, details })
    })
    return id
  }

  /**
   * @param row as it was when the change was judged: over any other nothing is written
   * @throws BrokerError stale_update | name_taken | external_id_taken | decryption_failed, or as `login.taken`
   */
  async update(
    row: StoredConfig,
    changed: Partial<ConfigFields>,
    login: NewLogin | undefined,
    by: Actor = SYSTEM,
  ): Promise<void> {
    const { id } = row
    const isLogin = login && !login.isEnd
    // Whatever is left of it would be signed with what is new: a changed provider or address, for one.
    if (isMoved(changed) || login) this.#seals.checkConfig(row)
    await this.#write(id, async (trx) => {
      const result = await trx
        .updateTable('model_configs')
        .set({
          ...this.#columnsOf(row, changed),
          ...login?.next(row),
          updated_at: Math.max(this.now, row.updated_at + 1),
        })
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .where('updated_at', '=', row.updated_at)
        .where('api_key', '=', row.api_key) // a rotation of keys leaves updated_at as it is
        .where('inputs_sealed', row.inputs_sealed === null ? 'is' : '=', row.inputs_sealed)
        .executeTakeFirst()
      if (result.numUpdatedRows !== 1n) throw new BrokerError('stale_update')
      await login?.taken?.(trx)
      const details = changesOf(row, changed)
      if (details)
        await recordAudit(trx, this.#database, { type: 'config.updated', by, configId: id, details })
      if (isLogin && !changed.api_key)
        await recordAudit(trx, this.#database, { type: 'config.login', by, configId: id })
      if (isLogin && row.oauth_state !== 'active') {
        const reason = 'logged in again'
        await recordEvent(trx, this.#database, { type: 'credential.recovered', configId: id, reason, by })
      }
    })
  }

  #columnsOf(row: StoredConfig, changed: Partial<ConfigFields>) {
    const { models, aliases, is_active, name, inputs, ...rest } = changed
    const plain = { ...rest, ...inputs?.columns }
    return {
      ...plain,
      ...(name !== undefined && { name, active_name: name }),
      ...(models && { models: JSON.stringify(models) }),
      ...(aliases && { aliases: aliasesColumn(aliases) }),
      ...(is_active !== undefined && { is_active: is_active ? 1 : 0 }),
      ...(isMoved(changed) && this.#seals.config({ ...row, ...plain })),
      ...(isMovedOn(row, changed) && NOT_ACCEPTED_YET),
    }
  }

  /**
   * Keeps the row for the books, without any secret; the name is free again.
   * @param none what a row holds that has no credential
   * @throws BrokerError config_not_found
   */
  async delete(row: StoredConfig, none: NewLogin, by: Actor = SYSTEM): Promise<void> {
    const { id } = row
    const emptied = { api_key: '', ...NO_INPUTS }
    await this.#write(id, async (trx) => {
      const result = await trx
        .updateTable('model_configs')
        .set({
          ...emptied,
          ...this.#seals.config({ ...row, ...emptied }),
          ...none.next(row),
          active_name: null,
          external_id: null,
          is_active: 0,
          deleted_at: this.now,
        })
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .executeTakeFirst()
      if (result.numUpdatedRows !== 1n) throw new BrokerError('config_not_found')
      await recordAudit(trx, this.#database, { type: 'config.deleted', by, configId: id })
    })
  }

  /** Something was done with a config that changes no row of its own. */
  async record(type: string, configId: string, by: Actor, reason?: string): Promise<void> {
    await this.#database.run((db) => recordAudit(db, this.#database, { type, by, configId, reason }))
  }

  async #write(id: string, work: (trx: Transaction<Tables>) => Promise<void>): Promise<void> {
    const changed: readonly Change[] = [{ kind: 'config', id }]
    try {
      await this.#database.transaction(async (trx) => {
        await work(trx)
        await noteChange(trx, changed)
      })
    } catch (error) {
      if (error instanceof DuplicateError)
        throw new BrokerError(error.of.endsWith('external_id') ? 'external_id_taken' : 'name_taken')
      throw error
    }
    this.#changes.noticed(changed)
  }
}

const NO_INPUTS = { inputs: null, inputs_sealed: null }

/** What a config's seal is over, beside what never changes. */
function isMoved({ base_url, api_key, inputs }: Partial<ConfigFields>): boolean {
  return base_url !== undefined || api_key !== undefined || inputs !== undefined
}

/** The key is what it was, but nobody has taken it there yet. */
function isMovedOn(row: StoredConfig, { base_url, inputs }: Partial<ConfigFields>): boolean {
  return inputs !== undefined || (base_url !== undefined && base_url !== row.base_url)
}
const NOT_ACCEPTED_YET = { accepted_at: null, accepted_version: null }
