/**
 * Device sessions as sealed rows, so that any replica can answer for any session.
 *
 * A poll is claimed by moving `next_poll_at` in one statement: one upstream poll at a time per session, and
 * never more often than the interval, over all replicas.
 */
import { createHash } from 'node:crypto'
import type { TokenSet } from '../oauth/token-response.ts'
import type { Database } from '../storage/database.ts'
import type { DeviceSessionRow } from '../storage/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'

export type SessionStatus = 'pending' | 'success' | 'denied' | 'expired'

export interface DeviceSession {
  readonly id: string
  readonly provider: string
  readonly deviceCode: string
  readonly codeVerifier: string | undefined
  readonly intervalMs: number
  readonly nextPollAt: number
  readonly status: SessionStatus
  readonly tokens: TokenSet | undefined
  readonly createdAt: number
  readonly expiresAt: number
  /** The config to log in again; undefined: whoever started the session binds its tokens. */
  readonly configId: string | undefined
}

export type SessionKey = { id: string } | { deviceCode: string }

export class DeviceSessionStore {
  readonly #database: Database
  readonly #keys: KeyRing

  constructor(database: Database, keys: KeyRing) {
    this.#database = database
    this.#keys = keys
  }

  async insert(session: DeviceSession): Promise<void> {
    const row: DeviceSessionRow = {
      id: session.id,
      provider: session.provider,
      device_code_hash: digestOf(session.deviceCode),
      device_code: this.#keys.seal(session.deviceCode),
      code_verifier: session.codeVerifier === undefined ? null : this.#keys.seal(session.codeVerifier),
      interval_ms: session.intervalMs,
      next_poll_at: session.nextPollAt,
      status: session.status,
      tokens: null,
      created_at: session.createdAt,
      expires_at: session.expiresAt,
      config_id: session.configId ?? null,
    }
    await this.#database.run((db) => db.insertInto('device_sessions').values(row).execute())
  }

  async find(key: SessionKey): Promise<DeviceSession | undefined> {
    const row = await this.#database.run((db) => {
      const query = db.selectFrom('device_sessions').selectAll()
      return 'id' in key
        ? query.where('id', '=', key.id).executeTakeFirst()
        : query.where('device_code_hash', '=', digestOf(key.deviceCode)).executeTakeFirst()
    })
    return row && this.#open(row)
  }

  /** True for exactly one caller: it may poll until `until`. */
  claimPoll(session: DeviceSession, now: number, until: number): Promise<boolean> {
    return this.#update(session, { next_poll_at: until }, now)
  }

  /** After a poll that decided nothing. */
  async pollAgain(session: DeviceSession, nextPollAt: number, intervalMs: number): Promise<void> {
    await this.#update(session, { next_poll_at: nextPollAt, interval_ms: intervalMs })
  }

  async finish(session: DeviceSession, status: SessionStatus, tokens?: TokenSet): Promise<void> {
    await this.#update(session, { status, tokens: tokens ? this.#keys.seal(JSON.stringify(tokens)) : null })
  }

  /** Marks what is over and empties it: its tokens and verifier are of no use to anybody any more. */
  async expireOverdue(now: number): Promise<void> {
    const emptied = { status: 'expired', tokens: null, code_verifier: null }
    await this.#database.run((db) =>
      db
        .updateTable('device_sessions')
        .set(emptied)
        .where('expires_at', '<=', now)
        .where('status', '!=', 'expired')
        .execute(),
    )
  }

  async deleteExpired(now: number): Promise<number> {
    const result = await this.#database.run((db) =>
      db.deleteFrom('device_sessions').where('expires_at', '<', now).executeTakeFirst(),
    )
    return Number(result.numDeletedRows)
  }

  async #update(session: DeviceSession, values: Partial<DeviceSessionRow>, dueAt?: number): Promise<boolean> {
    const result = await this.#database.run((db) => {
      const query = db
        .updateTable('device_sessions')
        .set(values)
        .where('id', '=', session.id)
        .where('status', '=', 'pending')
      return (dueAt === undefined ? query : query.where('next_poll_at', '<=', dueAt)).executeTakeFirst()
    })
    return result.numUpdatedRows === 1n
  }

  #open(row: DeviceSessionRow): DeviceSession {
    return {
      id: row.id,
      provider: row.provider,
      deviceCode: this.#keys.open(row.device_code),
      codeVerifier: row.code_verifier === null ? undefined : this.#keys.open(row.code_verifier),
      intervalMs: row.interval_ms,
      nextPollAt: row.next_poll_at,
      status: row.status as SessionStatus,
      tokens: row.tokens === null ? undefined : (JSON.parse(this.#keys.open(row.tokens)) as TokenSet),
      createdAt: row.created_at,
      expiresAt: row.expires_at,
      configId: row.config_id ?? undefined,
    }
  }
}

function digestOf(deviceCode: string): string {
  return createHash('sha256').update(deviceCode).digest('hex')
}
