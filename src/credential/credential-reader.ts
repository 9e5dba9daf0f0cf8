/**
 * Reads the credential columns of `model_configs`; `credential-store.ts` and `new-logins.ts` write them.
 *
 * What is sealed is opened only once its row has proved to be untouched. Leases are judged by the database's clock.
 */
import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely'
import { LRUCache } from 'lru-cache'
import { HOUR } from '../base/clock.ts'
import { ReadTogether } from '../base/read-together.ts'
import { upTo } from '../base/up-to.ts'
import { type Provider, withInputs } from '../provider/provider.ts'
import { isLogin } from '../provider/renewal-class.ts'
import { recordDaily } from '../storage/audit-log.ts'
import type { Database } from '../storage/database.ts'
import type { Tables } from '../storage/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Credential, Standing } from './credential.ts'
import { openedCredential, type ReadRow } from './credential-columns.ts'
import type { RowSeals, SealedRow } from './row-seals.ts'
import { givenIn, type InputColumns } from './stored-inputs.ts'
import { soonDueUntil } from './sweep-moment.ts'

/** Where a row stands. */
export interface RowStanding extends Standing {
  readonly lastAttemptId: string | undefined
}

/** A row as it was read a moment ago. */
export interface JustRead {
  readonly row: Credential
  /** The changes that were known of before it was read. */
  readonly seen: number
}

/** A row that the sweeper has to look at: nothing but its columns that tell when. */
export interface DueRow {
  readonly configId: string
  readonly version: number
  readonly updatedAt: number
  readonly expiresAt: number
  readonly receivedAt: number | undefined
}

/** `living`: its token has not ended yet. */
export type Half = 'living' | 'ended'

const PAGE = 500
/** Of the pool's ten connections most are left for those who write: they hold leases and turns at servers. */
const READS_AT_ONCE = 3
/** What was asked for meanwhile is read in one query: in a rush of callers the last would wait for thousands of them. */
const READ_TOGETHER = 32

export class CredentialReader {
  protected readonly database: Database
  protected readonly keyRing: KeyRing
  protected readonly seals: RowSeals
  readonly #providers: ReadonlyMap<string, Provider>
  readonly #reads: ReadTogether<string, ReadRow>
  /** Told a moment ago: every call asks for its credential anew as long as there is none. */
  readonly #toldTampered = new LRUCache<string, true>({ ...upTo(1_000), ttl: HOUR })
  /** As many as there are credentials in memory. */
  readonly #filledBefore = new LRUCache<string, InputColumns & { provider: Provider }>(upTo(10_000))

  constructor(
    database: Database,
    keyRing: KeyRing,
    seals: RowSeals,
    providers: ReadonlyMap<string, Provider>,
  ) {
    this.database = database
    this.keyRing = keyRing
    this.seals = seals
    this.#providers = providers
    this.#reads = new ReadTogether({
      atOnce: READS_AT_ONCE,
      most: READ_TOGETHER,
      read: async (ids) => new Map((await this.#rows(ids)).map((row) => [row.id, row])),
    })
  }

  /** Nothing can be learned or stored now. */
  get isAway(): boolean {
    return this.database.isAway
  }

  /**
   * One indexed query, shared where many ask. Undefined if there is no such config or its provider file is gone.
   * @throws BrokerError storage_unavailable | decryption_failed
   */
  async load(configId: string): Promise<Credential | undefined> {
    const row = await this.#reads.get(configId)
    return row && this.#open(row)
  }

  /**
   * Many in one query, in no order. One that cannot be opened is no reason to leave out the others.
   * @param refused told of each that cannot
   * @throws BrokerError storage_unavailable
   */
  async loadMany(
    configIds: readonly string[],
    refused: (configId: string, error: unknown) => void,
  ): Promise<Credential[]> {
    const credentials: Credential[] = []
    for (const row of await this.#rows(configIds)) {
      try {
        const credential = await this.#open(row)
        if (credential) credentials.push(credential)
      } catch (error) {
        refused(row.id, error)
      }
    }
    return credentials
  }

  #rows(configIds: readonly string[]) {
    const { nowMs } = this.database
    return this.database.run((db) =>
      db
        .selectFrom('model_configs')
        .selectAll()
        .select(sql<number>`case when lease_until > ${nowMs} then 1 else 0 end`.as('lease_is_live'))
        .where('id', 'in', configIds)
        .where('deleted_at', 'is', null)
        .execute(),
    )
  }

  /** Undefined if its provider file is gone. @throws BrokerError decryption_failed */
  async #open(row: ReadRow): Promise<Credential | undefined> {
    const provider = this.#providers.get(row.provider)
    if (!provider) return undefined
    await this.#assertUntouched(row)
    return openedCredential(row, this.#filled(provider, row), this.keyRing)
  }

  /** One and the same as long as its inputs are: what was learned of its server stays with it. */
  #filled(provider: Provider, { id, inputs, inputs_sealed }: InputColumns & { id: string }): Provider {
    if (!provider.fill) return provider
    const known = this.#filledBefore.get(id)
    if (known && known.inputs === inputs && known.inputs_sealed === inputs_sealed) return known.provider
    const filled = withInputs(provider, givenIn({ inputs, inputs_sealed }, this.keyRing))
    this.#filledBefore.set(id, { inputs, inputs_sealed, provider: filled })
    return filled
  }

  /**
   * How a config has its provider, without opening its tokens: they may be what a login is to replace. Undefined if there
   * is no such config or its provider file is gone.
   * @throws BrokerError storage_unavailable | decryption_failed
   */
  async providerOf(configId: string): Promise<{ provider: Provider; version: number } | undefined> {
    const row = await this.database.run((db) =>
      db
        .selectFrom('model_configs')
        .select(['id', 'provider', 'base_url', 'api_key', 'inputs', 'inputs_sealed', 'config_seal'])
        .select('oauth_version')
        .where('id', '=', configId)
        .where('deleted_at', 'is', null)
        .executeTakeFirst(),
    )
    const provider = row && this.#providers.get(row.provider)
    if (!row || !provider) return undefined
    this.seals.checkConfig(row)
    return { provider: this.#filled(provider, row), version: row.oauth_version }
  }

  /** Where rows stand, without opening what is sealed in them. @throws BrokerError storage_unavailable */
  async standings(configIds: readonly string[]): Promise<Map<string, RowStanding>> {
    const rows = await this.database.run((db) =>
      db
        .selectFrom('model_configs')
        .select(['id', 'oauth_login_at', 'oauth_version', 'last_attempt_id'])
        .where('id', 'in', configIds)
        .where('deleted_at', 'is', null)
        .execute(),
    )
    const standings = new Map<string, RowStanding>()
    for (const { id, oauth_login_at: loginAt, oauth_version: version, last_attempt_id } of rows)
      standings.set(id, { loginAt, version, lastAttemptId: last_attempt_id ?? undefined })
    return standings
  }

  /** Which of these providers have anything that is soon due. One query. @throws BrokerError storage_unavailable */
  async providersWithSoonDue(providers: readonly Provider[], now: number): Promise<ReadonlySet<string>> {
    const rows = await this.database.run(async (db) => {
      const [first, ...others] = providers.map((provider) => {
        const one = db
          .selectFrom('model_configs')
          .select('provider')
          .where((eb) => canBeRenewed(eb, now))
          .where((eb) => isSoonDue(eb, provider, now))
          .limit(1)
        return db.selectFrom(one.as('one')).select('provider')
      })
      return first ? others.reduce((all, other) => all.unionAll(other), first).execute() : []
    })
    return new Set(rows.map(({ provider }) => provider))
  }

  /**
   * Those of one provider, by the end of their tokens and by the index; read page by page, as they are asked for.
   * @throws BrokerError storage_unavailable
   */
  async *soonDue(provider: Provider, half: Half, now: number): AsyncGenerator<DueRow, void> {
    for (let after: DueRow | undefined; ; ) {
      const page = await this.#soonDuePage(provider, half, now, after)
      yield* page
      if (page.length < PAGE) return
      after = page.at(-1)
    }
  }

  async #soonDuePage(provider: Provider, half: Half, now: number, after?: DueRow): Promise<DueRow[]> {
    const rows = await this.database.run((db) => {
      const query = db
        .selectFrom('model_configs')
        .select(['id', 'oauth_version', 'updated_at', 'oauth_expires_at', 'oauth_refreshed_at'])
        .where((eb) => canBeRenewed(eb, now))
        .where((eb) => isSoonDue(eb, provider, now))
        .where('oauth_expires_at', half === 'living' ? '>' : '<=', now)
        .orderBy('oauth_expires_at')
        .orderBy('id')
        .limit(PAGE)
      if (!after) return query.execute()
      const { expiresAt, configId } = after
      return query
        .where('oauth_expires_at', '>=', expiresAt)
        .where((eb) => eb.or([eb('oauth_expires_at', '>', expiresAt), eb('id', '>', configId)]))
        .execute()
    })
    return rows.map((row) => ({
      configId: row.id,
      version: row.oauth_version,
      updatedAt: row.updated_at,
      expiresAt: row.oauth_expires_at ?? 0,
      receivedAt: row.oauth_refreshed_at ?? undefined,
    }))
  }

  /** A row that somebody changed who has no key is refused, and told of. @throws BrokerError decryption_failed */
  async #assertUntouched(row: SealedRow): Promise<void> {
    try {
      this.seals.checkConfig(row)
      this.seals.checkOAuth(row)
    } catch (error) {
      await this.#tellTampered(row.id).catch(() => {}) // whoever asks again has it told again
      throw error
    }
  }

  async #tellTampered(configId: string): Promise<void> {
    if (this.#toldTampered.has(configId)) return
    await this.database.run((db) => recordDaily(db, this.database, 'credential.tampered', configId))
    this.#toldTampered.set(configId, true)
  }
}

type Rows = ExpressionBuilder<Tables, 'model_configs'>

/** It lives, nobody is at it, and its time to be tried again has come. */
function canBeRenewed(eb: Rows, now: number): Expression<SqlBool> {
  return eb.and([
    eb('oauth_state', 'in', ['active', 'uncertain', 'refreshing', 'refused']),
    eb('deleted_at', 'is', null),
    eb('next_attempt_at', '<=', now),
    eb('lease_until', '<=', now),
  ])
}

/** Candidates; the exact moment is judged on the row. What has nothing to be renewed with is none. */
function isSoonDue(eb: Rows, provider: Provider, now: number): Expression<SqlBool> {
  const until = soonDueUntil(provider, now)
  const isCandidate = eb('provider', '=', provider.name).and('oauth_expires_at', '<', until)
  return isLogin(provider.kind) ? isCandidate.and('oauth_refresh_token', 'is not', null) : isCandidate
}
