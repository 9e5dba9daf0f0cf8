/**
 * What a login makes of the credential's columns of a row, whoever brings it: a form, a login link, or nobody yet.
 */
import { expressionBuilder, type RawBuilder, sql, type Transaction } from 'kysely'
import type { TokenSet } from '../oauth/token-response.ts'
import { isSamePlace } from '../provider/places.ts'
import type { Provider } from '../provider/provider.ts'
import { isFetched, renewalClass } from '../provider/renewal-class.ts'
import { recordEvent } from '../storage/audit-events.ts'
import { type Actor, recordAudit } from '../storage/audit-log.ts'
import { noteChange } from '../storage/changes.ts'
import type { Database } from '../storage/database.ts'
import type { ModelConfigRow, Tables } from '../storage/tables.ts'
import { fingerprint } from './credential.ts'
import { type CredentialColumns, clearedColumns } from './credential-columns.ts'
import type { CredentialStore } from './credential-store.ts'
import type { RowSeals } from './row-seals.ts'

type RowName = Pick<ModelConfigRow, 'id' | 'provider'>

/** New tokens end whatever the old ones were in the middle of: with the version raised, its writes hit no row. */
const ENDED_ATTEMPT = {
  lease_owner: null,
  lease_until: 0,
  attempt_id: null,
  last_attempt_id: null,
  next_attempt_at: 0,
  last_error: null,
}

export class NewLogins {
  readonly #database: Database
  readonly #seals: RowSeals
  readonly #store: Pick<CredentialStore, 'seal'>

  constructor(database: Database, seals: RowSeals, store: Pick<CredentialStore, 'seal'>) {
    this.#database = database
    this.#seals = seals
    this.#store = store
  }

  ofTokens(tokens: TokenSet) {
    return this.#of(this.#store.seal(tokens))
  }

  /** @param apiKey as it is, for its fingerprint */
  ofKey(provider: Provider, apiKey: string | undefined) {
    // A client's own token is fetched when it is first needed, by the way every token is renewed.
    if (renewalClass(provider) === 'local') return this.#of(clearedColumns('active'))
    if (isFetched(provider.kind)) return this.#of({ ...clearedColumns('active'), oauth_expires_at: 0 })
    if (provider.kind !== 'api_key' || apiKey === undefined) return this.none()
    return this.#of({ ...clearedColumns('active'), oauth_refresh_fingerprint: fingerprint(apiKey) })
  }

  /**
   * What other inputs leave of a credential. What asking again brings is fetched anew. A login stays only while it is
   * of the same client at the same server and goes to the same hosts; an API key is the config's own.
   */
  ofInputs(before: Provider, after: Provider) {
    if (after.kind === 'api_key') return undefined
    if (isFetched(after.kind) || renewalClass(after) === 'local')
      return { ...this.ofKey(after, undefined), isEnd: true }
    return isSamePlace(before, after) ? undefined : { ...this.none(), isEnd: true }
  }

  none() {
    return this.#of(clearedColumns('missing'))
  }

  #of(columns: CredentialColumns) {
    const { nowMs } = this.#database
    const sealed = ({ id, provider }: RowName) => ({
      ...columns,
      ...this.#seals.oauth({ id, provider, ...columns }),
    })
    return {
      first: (row: RowName) => ({
        ...sealed(row),
        ...ENDED_ATTEMPT,
        oauth_login_at: sql<number>`${nowMs}`,
        oauth_version: 1,
      }),
      next: (row: RowName) => ({
        ...sealed(row),
        ...ENDED_ATTEMPT,
        oauth_login_at: loginNow(this.#database),
        oauth_version: nextVersion(),
      }),
    }
  }

  /**
   * Gives the tokens of a login that a link asked for to its config. False if the config has had another login since,
   * or is gone; then nothing is written.
   * @throws BrokerError decryption_failed
   */
  async give(
    trx: Transaction<Tables>,
    { configId, configVersion }: { configId: string; configVersion: number },
    tokens: TokenSet,
    by: Actor,
  ): Promise<boolean> {
    const config = await trx
      .selectFrom('model_configs')
      .select(['id', 'provider', 'base_url', 'api_key', 'inputs', 'inputs_sealed', 'config_seal'])
      .where('id', '=', configId)
      .executeTakeFirst()
    if (!config) return false
    this.#seals.checkConfig(config)
    const result = await trx
      .updateTable('model_configs')
      .set(this.ofTokens(tokens).next(config))
      .where('id', '=', configId)
      .where('deleted_at', 'is', null)
      .where('oauth_version', '=', configVersion)
      .executeTakeFirst()
    if (result.numUpdatedRows !== 1n) return false
    const reason = 'logged in again'
    await recordAudit(trx, this.#database, { type: 'config.login', by, configId })
    await recordEvent(trx, this.#database, { type: 'credential.recovered', configId, reason, by })
    await noteChange(trx, [{ kind: 'config', id: configId }])
    return true
  }
}

function nextVersion() {
  return expressionBuilder<Tables, 'model_configs'>()('oauth_version', '+', 1)
}

/** The time of a new login, by the database's clock, and in any case later than that of the one before. */
function loginNow({ nowMs }: Database): RawBuilder<number> {
  return sql<number>`case when oauth_login_at < ${nowMs} then ${nowMs} else oauth_login_at + 1 end`
}
