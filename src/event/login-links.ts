/**
 * Links that log a config in again: one an event, kept sealed, found by its SHA-256.
 *
 * A link is good once, for a week, while its config needs a login and has had none since the link was made: every
 * write of tokens raises `oauth_version`, so that a link of an older version is void whoever logged in and how.
 */
import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import { type Clock, DAY } from '../base/clock.ts'
import { sha256 } from '../base/digest.ts'
import type { Provider } from '../provider/provider.ts'
import { isLogin } from '../provider/renewal-class.ts'
import { type Database, DuplicateError } from '../storage/database.ts'
import { BATCH } from '../storage/in-batches.ts'
import { configsInNeedOfLogin } from '../storage/look-ups.ts'
import type { AuditEventRow, LoginLinkRow, Tables } from '../storage/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Seals } from '../vault/seals.ts'

const LIFETIME_MS = 7 * DAY
const LINK = /^[A-Za-z0-9_-]{43}$/

export interface LoginTarget {
  readonly configId: string
  /** The version that the login is for. */
  readonly configVersion: number
  readonly name: string
  readonly provider: string
}

export interface LoginLinkParts {
  readonly database: Database
  readonly keyRing: KeyRing
  readonly seals: Seals
  readonly clock: Clock
  readonly providers: ReadonlyMap<string, Provider>
}

type Event = Pick<AuditEventRow, 'id' | 'type' | 'config_id' | 'provider'>

export class LoginLinks {
  readonly #parts: LoginLinkParts

  constructor(parts: LoginLinkParts) {
    this.#parts = parts
  }

  /**
   * The address that logs the config of an event in again; the same however often it is asked for. Undefined where a
   * link cannot do that, or need not any more.
   *
   * @param base how people reach this broker, perhaps with a path
   */
  async urlOf(event: Event, base: string): Promise<string | undefined> {
    const provider = this.#parts.providers.get(event.provider)
    if (!provider || !hasLoginPage(provider) || event.type !== 'credential.reauth_required') return undefined
    const link = await this.#linkOf(event)
    return link && `${base.replace(/\/+$/, '')}/login/${link}`
  }

  /** What a link that is still good logs in; it stays good. @throws BrokerError decryption_failed */
  async peek(link: string): Promise<LoginTarget | undefined> {
    if (!LINK.test(link)) return undefined
    return this.#parts.database.run((db) => this.#target(db, sha256(link)))
  }

  /** The same, for exactly one caller. @throws BrokerError decryption_failed */
  async use(link: string): Promise<LoginTarget | undefined> {
    const target = await this.peek(link)
    if (!target) return undefined
    const result = await this.#parts.database.run((db) =>
      db
        .updateTable('login_links')
        .set({ used_at: this.#parts.clock() })
        .where('token_hash', '=', sha256(link))
        .where('used_at', 'is', null)
        .executeTakeFirst(),
    )
    return result.numUpdatedRows === 1n ? target : undefined
  }

  /** It was used for nothing: no login could be started. */
  async giveBack(link: string): Promise<void> {
    await this.#parts.database.run((db) =>
      db.updateTable('login_links').set({ used_at: null }).where('token_hash', '=', sha256(link)).execute(),
    )
  }

  async #linkOf(event: Event): Promise<string | undefined> {
    const { database, keyRing } = this.#parts
    const find = () =>
      database.run((db) =>
        db.selectFrom('login_links').selectAll().where('event_id', '=', event.id).executeTakeFirst(),
      )
    const row = (await find()) ?? (await this.#make(event)) ?? (await find())
    if (!row?.link) return undefined
    const isGood = await database.run((db) => this.#target(db, row.token_hash))
    return isGood && keyRing.open(row.link)
  }

  /** Undefined if the config needs none, or another process was faster. */
  async #make(event: Event): Promise<{ token_hash: string; link: string } | undefined> {
    const { database, keyRing, seals } = this.#parts
    const link = randomBytes(32).toString('base64url')
    const secret = { token_hash: sha256(link), link: keyRing.seal(link) }
    await this.#clearSome()
    try {
      return await database.transaction(async (trx) => {
        const config = await configsInNeedOfLogin(trx).where('id', '=', event.config_id).executeTakeFirst()
        if (!config) return undefined
        const { id: event_id, config_id } = event
        const expires_at = this.#parts.clock() + LIFETIME_MS
        const row = { ...secret, event_id, config_id, expires_at, config_version: config.oauth_version }
        await trx
          .insertInto('login_links')
          .values({ ...row, ...sealLink(seals, row) })
          .execute()
        return secret
      })
    } catch (error) {
      if (error instanceof DuplicateError) return undefined
      throw error
    }
  }

  /** Of those that are over; more than come. */
  async #clearSome(): Promise<void> {
    const { database, clock } = this.#parts
    await database.run(async (db) => {
      const over = db.selectFrom('login_links').select('token_hash').where('expires_at', '<', clock())
      const hashes = (await over.limit(BATCH).execute()).map((row) => row.token_hash)
      if (hashes.length > 0) await db.deleteFrom('login_links').where('token_hash', 'in', hashes).execute()
    })
  }

  async #target(db: Kysely<Tables>, digest: string): Promise<LoginTarget | undefined> {
    const row = await db
      .selectFrom('login_links')
      .innerJoin(configsInNeedOfLogin(db).as('config'), 'config.id', 'login_links.config_id')
      .selectAll('login_links')
      .select(['config.id', 'name', 'provider', 'oauth_version'])
      .where('token_hash', '=', digest)
      .where('used_at', 'is', null)
      .where('expires_at', '>', this.#parts.clock())
      .whereRef('config_version', '=', 'oauth_version')
      .executeTakeFirst()
    if (!row) return undefined
    checkLink(this.#parts.seals, row)
    return { configId: row.id, configVersion: row.oauth_version, name: row.name, provider: row.provider }
  }
}

/** A page without a script can show a code, or the way to the server, but take no pasted address. */
function hasLoginPage({ kind, authorizationServer }: Provider): boolean {
  return isLogin(kind) && (kind === 'device_code' || authorizationServer?.redirect.hasCallback === true)
}

/** What ties a link to its config: nobody without the encryption key makes one. */
export function sealLink(seals: Seals, row: SealedLink): { link_seal: string } {
  return { link_seal: seals.sign(sealedFields(row)) }
}

/** @throws BrokerError decryption_failed */
export function checkLink(seals: Seals, row: SealedLink & Pick<LoginLinkRow, 'link_seal'>): void {
  seals.check(sealedFields(row), row.link_seal, 'login link')
}

type SealedLink = Omit<LoginLinkRow, 'used_at' | 'link_seal'>

function sealedFields(row: SealedLink): unknown[] {
  const { token_hash, link, event_id, config_id, config_version, expires_at } = row
  return ['login_links', token_hash, link, event_id, config_id, config_version, expires_at]
}
