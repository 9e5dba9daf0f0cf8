/**
 * Device sessions as sealed rows, so that any replica can answer for any session.
 *
 * A poll is claimed by moving `next_poll_at` in one statement: one upstream poll at a time per session, and
 * never more often than the interval, over all replicas.
 */
import type { Kysely, Transaction } from 'kysely'
import { sha256 } from '../base/digest.ts'
import { BrokerError } from '../base/errors.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import { type Actor, recordAudit } from '../storage/audit-log.ts'
import type { Database } from '../storage/database.ts'
import type { DeviceSessionRow, Tables } from '../storage/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Seals } from '../vault/seals.ts'
import {
  type DeviceSession,
  rowIdOf,
  type SessionEnd,
  type SessionKey,
  type SessionStatus,
  type SessionTarget,
} from './device-session.ts'

export class DeviceSessionStore {
  readonly #database: Database
  readonly #keyRing: KeyRing
  readonly #seals: Seals

  constructor(database: Database, keyRing: KeyRing, seals: Seals) {
    this.#database = database
    this.#keyRing = keyRing
    this.#seals = seals
  }

  async insert(session: DeviceSession): Promise<void> {
    const row: DeviceSessionRow = {
      ...this.#sealed(session, undefined),
      interval_ms: session.intervalMs,
      next_poll_at: session.nextPollAt,
      status: session.status,
      error_code: null,
      created_at: session.createdAt,
    }
    await this.#database.run((db) => db.insertInto('device_sessions').values(row).execute())
  }

  async find(key: SessionKey): Promise<DeviceSession | undefined> {
    const row = await this.#database.run((db) => {
      const query = db.selectFrom('device_sessions').selectAll()
      if ('sessionId' in key) return query.where('id', '=', rowIdOf(key.sessionId)).executeTakeFirst()
      const code = 'state' in key ? key.state : key.deviceCode
      const isByBrowser = 'state' in key ? 'is not' : 'is'
      return query
        .where('device_code_hash', '=', sha256(code))
        .where('redirect_uri', isByBrowser, null)
        .executeTakeFirst()
    })
    return row && this.#open(row)
  }

  /** As it is now. */
  async reread({ id }: DeviceSession): Promise<DeviceSession | undefined> {
    const row = await this.#database.run((db) =>
      db.selectFrom('device_sessions').selectAll().where('id', '=', id).executeTakeFirst(),
    )
    return row && this.#open(row)
  }

  /** True for exactly one caller: it may poll until `until`. */
  claimPoll(session: DeviceSession, now: number, until: number): Promise<boolean> {
    return this.#update(session, { next_poll_at: until }, now)
  }

  /** True for exactly one caller: it may send the code that a browser brought, and knows what came of it by `until`. */
  async claimAnswer(session: DeviceSession, until: number): Promise<boolean> {
    return this.#update(session, { status: 'redeeming', next_poll_at: until })
  }

  /** After a poll that decided nothing. */
  async pollAgain(session: DeviceSession, nextPollAt: number, intervalMs: number): Promise<void> {
    await this.#update(session, { next_poll_at: nextPollAt, interval_ms: intervalMs })
  }

  /** A session with a target is written down when its config has the tokens. */
  async succeed(session: DeviceSession, tokens: TokenSet, by: Actor): Promise<void> {
    const values = { status: 'success', ...this.#sealed(session, tokens) }
    await this.#database.transaction(async (trx) => {
      const result = await pending(trx, session, values).executeTakeFirst()
      if (result.numUpdatedRows !== 1n || session.target) return
      const { provider } = session
      await recordAudit(trx, this.#database, { type: 'login.completed', by, provider })
    })
  }

  async end({ id }: DeviceSession, status: SessionEnd, errorCode?: string): Promise<void> {
    await this.#database.run((db) =>
      db
        .updateTable('device_sessions')
        .set({ status, error_code: errorCode ?? null })
        .where('id', '=', id)
        .where('status', 'in', ['pending', 'redeeming'])
        .execute(),
    )
  }

  /**
   * Marks a finished session `bound` once `give` has given its tokens to its config, in one transaction; `superseded`
   * if that says that the config needs them no more. Either way they are kept nowhere else.
   */
  async bind(session: DeviceSession, give: (trx: Transaction<Tables>) => Promise<boolean>): Promise<void> {
    const { id, redirectUri } = session
    await this.#database.transaction(async (trx) => {
      const bound = await trx
        .updateTable('device_sessions')
        .set({ status: 'bound', tokens: null, code_verifier: null })
        .where('id', '=', id)
        // Who redeemed the code alone has its tokens, also where the session's time was over meanwhile.
        .where('status', 'in', redirectUri === undefined ? ['success'] : ['redeeming', 'expired'])
        .executeTakeFirst()
      const isFirst = bound.numUpdatedRows === 1n // else somebody was faster
      if (!isFirst || (await give(trx))) return
      await trx.updateTable('device_sessions').set({ status: 'superseded' }).where('id', '=', id).execute()
    })
  }

  /**
   * Its tokens are bound once: a refresh token that two configs held would be spent twice.
   * @throws BrokerError session_not_found
   */
  async endTaken(trx: Transaction<Tables>, { id }: DeviceSession): Promise<void> {
    const result = await trx.deleteFrom('device_sessions').where('id', '=', id).executeTakeFirst()
    if (result.numDeletedRows !== 1n) throw new BrokerError('session_not_found')
  }

  /**
   * Marks some of what is over and empties it: its tokens and verifier are of no use to anybody any more.
   * @returns how many they were
   */
  expireSomeOverdue(now: number, limit: number): Promise<number> {
    const emptied = { status: 'expired', tokens: null, code_verifier: null }
    return this.#database.run(async (db) => {
      const ids = await idsOfOver(db, now, limit, false)
      const found = db.updateTable('device_sessions').set(emptied).where('id', 'in', ids)
      if (ids.length > 0) await found.where('status', 'not in', EMPTY).execute()
      return ids.length
    })
  }

  /** Some of those that were over then. @returns how many they were */
  deleteSomeExpired(then: number, limit: number): Promise<number> {
    return this.#database.run(async (db) => {
      const ids = await idsOfOver(db, then, limit, true)
      if (ids.length > 0) await db.deleteFrom('device_sessions').where('id', 'in', ids).execute()
      return ids.length
    })
  }

  async #update(session: DeviceSession, values: Partial<DeviceSessionRow>, dueAt?: number): Promise<boolean> {
    const result = await this.#database.run((db) => {
      const query = pending(db, session, values)
      return (dueAt === undefined ? query : query.where('next_poll_at', '<=', dueAt)).executeTakeFirst()
    })
    return result.numUpdatedRows === 1n
  }

  /** What ties a row's secrets to it. */
  seal(row: SealedSession): { session_seal: string } {
    return { session_seal: this.#seals.sign(sealedFields(row)) }
  }

  /** @throws BrokerError decryption_failed if somebody without the encryption key has been at it */
  check(row: DeviceSessionRow): void {
    // What is over is emptied by one statement for many, which cannot seal each anew; it holds nothing to be moved.
    if (!isEmptied(row)) this.#seals.check(sealedFields(row), row.session_seal, 'secrets')
  }

  #sealed(session: DeviceSession, tokens: TokenSet | undefined) {
    const columns = {
      id: session.id,
      provider: session.provider,
      device_code_hash: session.codeHash,
      expires_at: session.expiresAt,
      config_id: session.target?.configId ?? null,
      config_version: session.target?.configVersion ?? null,
      redirect_uri: session.redirectUri ?? null,
      device_code: this.#keyRing.seal(session.deviceCode),
      code_verifier: session.codeVerifier === undefined ? null : this.#keyRing.seal(session.codeVerifier),
      tokens: tokens ? this.#keyRing.seal(JSON.stringify(tokens)) : null,
    }
    return { ...columns, ...this.seal(columns) }
  }

  #open(row: DeviceSessionRow): DeviceSession {
    this.check(row)
    return {
      id: row.id,
      provider: row.provider,
      codeHash: row.device_code_hash,
      deviceCode: this.#keyRing.open(row.device_code),
      codeVerifier: row.code_verifier === null ? undefined : this.#keyRing.open(row.code_verifier),
      redirectUri: row.redirect_uri ?? undefined,
      intervalMs: row.interval_ms,
      nextPollAt: row.next_poll_at,
      status: row.status as SessionStatus,
      tokens: row.tokens === null ? undefined : (JSON.parse(this.#keyRing.open(row.tokens)) as TokenSet),
      errorCode: row.error_code ?? undefined,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
      target: targetOf(row),
    }
  }
}

type SealedSession = Pick<
  DeviceSessionRow,
  | 'id'
  | 'provider'
  | 'device_code_hash'
  | 'device_code'
  | 'code_verifier'
  | 'tokens'
  | 'expires_at'
  | 'config_id'
  | 'config_version'
  | 'redirect_uri'
>

function sealedFields(row: SealedSession): unknown[] {
  const { id, provider, device_code_hash, device_code, code_verifier, tokens } = row
  const { expires_at, config_id, config_version, redirect_uri } = row
  const secrets = [device_code_hash, device_code, code_verifier, tokens]
  const place = redirect_uri === null ? [] : [redirect_uri]
  return ['device_sessions', id, provider, ...secrets, expires_at, config_id, config_version, ...place]
}

function isEmptied({ status, tokens, code_verifier }: DeviceSessionRow): boolean {
  return EMPTY.includes(status as SessionStatus) && tokens === null && code_verifier === null
}

/** What holds no secrets any more, and is told as it is for a while longer. */
const EMPTY: readonly SessionStatus[] = ['expired', 'bound', 'superseded']

/** A session of an earlier release names no version. No config ever has this one, so it binds nothing. */
const NO_VERSION = -1

function targetOf({ config_id, config_version }: DeviceSessionRow): SessionTarget | undefined {
  if (config_id === null) return undefined
  return { configId: config_id, configVersion: config_version ?? NO_VERSION }
}

function pending(db: Kysely<Tables>, { id }: DeviceSession, values: Partial<DeviceSessionRow>) {
  return db.updateTable('device_sessions').set(values).where('id', '=', id).where('status', '=', 'pending')
}

/** Ids of so many at most whose time was over at an instant. */
async function idsOfOver(
  db: Kysely<Tables>,
  at: number,
  limit: number,
  alsoEmpty: boolean,
): Promise<string[]> {
  const over = db.selectFrom('device_sessions').select('id').where('expires_at', '<=', at).limit(limit)
  const rows = await (alsoEmpty ? over : over.where('status', 'not in', EMPTY)).execute()
  return rows.map(({ id }) => id)
}
