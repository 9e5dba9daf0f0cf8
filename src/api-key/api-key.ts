/**
 * A broker key: `sk-tb-` and 256 random bits, stored as SHA-256 and shown once.
 */
import { randomBytes } from 'node:crypto'
import { sha256 } from '../base/digest.ts'
import { storedTexts } from '../base/stored-json.ts'
import type { ApiKeyRow } from '../storage/tables.ts'

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
  /** It gets the access tokens of its configs themselves, where the operator allows that. */
  readonly mayReadTokens: boolean
  /** Epoch ms. */
  readonly expiresAt: number | null
  readonly createdAt: number
}

export interface StoredKey extends ApiKey {
  /** Epoch ms, to the minute; null: never yet. */
  readonly lastUsedAt: number | null
}

/** What a key that a caller shows stands for. */
export interface FoundKey extends ApiKey {
  /** Epoch ms from which on only the key works that took its place; null: it is the one. */
  readonly replacedAt: number | null
}

/** Epoch ms from which on the key that was shown works no longer. */
export function endOf({ replacedAt, expiresAt }: FoundKey): number {
  return Math.min(replacedAt ?? Infinity, expiresAt ?? Infinity)
}

/** What can be changed of a key that exists. */
export type ApiKeyFields = Pick<
  ApiKey,
  'name' | 'modelConfigIds' | 'models' | 'requestsPerMinute' | 'mayReadTokens' | 'expiresAt'
>

/** Of a key of which nothing else is said. */
export const PLAIN = {
  modelConfigIds: null,
  models: null,
  requestsPerMinute: null,
  mayReadTokens: false,
  expiresAt: null,
}

const PREFIX = 'sk-tb-'
const KEY = /^sk-tb-[A-Za-z0-9_-]{43}$/
const SHOWN_CHARACTERS = PREFIX.length + 6

export function isKey(text: string): boolean {
  return KEY.test(text)
}

/** The key itself, and what is kept of it. */
export function makeKey(): { key: string; digest: string; prefix: string } {
  const key = PREFIX + randomBytes(32).toString('base64url')
  return { key, digest: sha256(key), prefix: key.slice(0, SHOWN_CHARACTERS) }
}

export function fieldColumns(fields: Partial<ApiKeyFields>): Partial<ApiKeyRow> {
  const { name, modelConfigIds, models, requestsPerMinute, mayReadTokens, expiresAt } = fields
  return {
    ...(name !== undefined && { name }),
    ...(modelConfigIds !== undefined && {
      model_config_ids: modelConfigIds && JSON.stringify(modelConfigIds),
    }),
    ...(models !== undefined && { models: models && JSON.stringify(models) }),
    ...(requestsPerMinute !== undefined && { requests_per_minute: requestsPerMinute }),
    ...(mayReadTokens !== undefined && { may_read_tokens: mayReadTokens ? 1 : 0 }),
    ...(expiresAt !== undefined && { expires_at: expiresAt }),
  }
}

/** A limit that cannot be read lets nothing through. */
export function fromRow(row: Omit<ApiKeyRow, 'key_hash' | 'right_seal' | 'last_used_at'>): ApiKey {
  return {
    id: row.id,
    name: row.name,
    prefix: row.key_prefix,
    modelConfigIds: row.model_config_ids === null ? null : storedTexts(row.model_config_ids),
    models: row.models === null ? null : storedTexts(row.models),
    requestsPerMinute: row.requests_per_minute,
    mayReadTokens: row.may_read_tokens === 1,
    expiresAt: row.expires_at,
    createdAt: row.created_at,
  }
}

export function toStored(row: ApiKeyRow): StoredKey {
  return { ...fromRow(row), lastUsedAt: row.last_used_at }
}
