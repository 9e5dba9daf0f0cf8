/**
 * Row types, word for word the columns of `migrations/`.
 *
 * Instants are epoch milliseconds, booleans 0/1 (better-sqlite3 refuses `true`), "sealed" means Fernet.
 */
import type { ColumnType } from 'kysely'

/** 0 or 1. */
export type Flag = number

export interface ModelConfigRow {
  id: string
  name: string
  /** `name` while the config exists, NULL once deleted, so that the unique index frees the name. */
  active_name: string | null
  provider: string
  base_url: string
  /** Sealed, or '' for OAuth providers. */
  api_key: string
  /** JSON text: [{model_id, support_vision, support_thinking}]. */
  models: string
  /** JSON text, {alias: model_id}; NULL: none. */
  aliases: string | null
  is_active: Flag
  created_at: number
  updated_at: number
  deleted_at: number | null

  /** Sealed. */
  oauth_access_token: string | null
  /** Sealed. */
  oauth_refresh_token: string | null
  oauth_token_type: string | null
  oauth_scope: string | null
  oauth_expires_at: number | null
  /** A JSON object; comes back parsed from MySQL and as text from SQLite. */
  oauth_metadata: ColumnType<unknown, string | null, string | null>

  /** When the tokens were obtained; NULL when somebody handed them to us. */
  oauth_refreshed_at: number | null
  /** Rises with every write of tokens; no write without a predicate on it. */
  oauth_version: number
  oauth_state: string
  /** SHA-256 of the refresh token. */
  oauth_refresh_fingerprint: string | null
  lease_owner: string | null
  lease_until: number
  attempt_id: string | null
  last_attempt_id: string | null
  next_attempt_at: number
  last_error: string | null
}

export interface DeviceSessionRow {
  id: string
  provider: string
  /** SHA-256 of the device code, to look it up by. */
  device_code_hash: string
  /** Sealed. */
  device_code: string
  /** Sealed; NULL where the provider does without PKCE. */
  code_verifier: string | null
  interval_ms: number
  next_poll_at: number
  status: string
  /** Sealed JSON of the token answer, once there is one. */
  tokens: string | null
  /** The config to log in again; NULL: whoever started the session binds its tokens. */
  config_id: string | null
  created_at: number
  expires_at: number
}

export interface ApiKeyRow {
  id: string
  name: string
  /** SHA-256, hex. */
  key_hash: string
  /** The first characters, so that a person can tell keys apart. */
  key_prefix: string
  /** JSON text, an array of config ids in order of preference; NULL: every config. */
  model_config_ids: string | null
  /** JSON text, an array of model ids; NULL: every model. */
  models: string | null
  requests_per_minute: number | null
  expires_at: number | null
  created_at: number
}

export interface RateCounterRow {
  bucket: string
  /** Epoch milliseconds of the calls in the window, comma-separated, oldest first. */
  calls: string
  version: number
  expires_at: number
}

export interface AuditEventRow {
  id: string
  type: string
  config_id: string
  config_name: string
  provider: string
  reason: string | null
  created_at: number
  /** Rises with every claim and outcome; the claim's predicate. */
  deliveries: number
  /** NULL: delivered, or given up. */
  next_delivery_at: number | null
}

export interface LoginLinkRow {
  /** SHA-256 of the link's secret part. */
  token_hash: string
  config_id: string
  expires_at: number
}

export interface UsageHourlyRow {
  /** The beginning of the hour, epoch ms. */
  hour: number
  key_id: string
  config_id: string
  /** '' where calls named none. */
  model: string
  requests: number
  errors: number
  prompt_tokens: number
  completion_tokens: number
}

/** One row; rises with every change of keys or configs, so that replicas know when to forget what they cached. */
export interface ChangeCounterRow {
  id: number
  value: number
}

export interface Tables {
  model_configs: ModelConfigRow
  device_sessions: DeviceSessionRow
  api_keys: ApiKeyRow
  rate_counters: RateCounterRow
  change_counter: ChangeCounterRow
  audit_events: AuditEventRow
  login_links: LoginLinkRow
  usage_hourly: UsageHourlyRow
}
