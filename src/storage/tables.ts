/**
 * Row types, word for word the columns of `migrations/`.
 *
 * Instants are epoch milliseconds, booleans 0/1 (better-sqlite3 refuses `true`), "sealed" means Fernet.
 */
import type { ColumnType, Generated } from 'kysely'

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
  /** JSON text, {name: value}: what it says for its provider's inputs; NULL: none. */
  inputs: string | null
  /** Sealed: the same of inputs that are secret. */
  inputs_sealed: string | null
  is_active: Flag
  /** What whoever made it calls it; NULL: nothing, or deleted. */
  external_id: string | null
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

  /** When somebody logged in or handed tokens over; 0: before there was this column. A refresh leaves it as it is. */
  oauth_login_at: number
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
  /** When upstream last took what `accepted_version` (of `oauth_version`) holds; NULL: never yet. */
  accepted_at: number | null
  accepted_version: number | null
  /** Over id, provider, base URL, API key and inputs; see `src/credential/row-seals.ts`. NULL: written by an older release. */
  config_seal: string | null
  /** Over id, provider, resource_url and the OAuth columns. */
  oauth_seal: string | null
}

export interface DeviceSessionRow {
  /** SHA-256 of what its page knows it by. */
  id: string
  provider: string
  /** SHA-256 of the device code, or of the `state` of a login by authorization code: to look it up by. */
  device_code_hash: string
  /** Sealed; of a login by authorization code ''. */
  device_code: string
  /** Sealed; NULL where the provider does without PKCE. */
  code_verifier: string | null
  interval_ms: number
  next_poll_at: number
  status: string
  /** Sealed JSON of the token answer, once there is one. */
  tokens: string | null
  /** What the server said when it refused the login for good. */
  error_code: string | null
  /** Of a login by authorization code: where its browser comes back to. */
  redirect_uri: string | null
  /** The config to log in again; NULL: whoever started the session binds its tokens. */
  config_id: string | null
  /** `oauth_version` of that config when its login link was used: any other login meanwhile ends the session. */
  config_version: number | null
  created_at: number
  expires_at: number
  /** Over id, provider, device code and its hash, the other sealed columns, the end and the config. */
  session_seal: string | null
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
  /** To the minute; NULL: never yet. */
  last_used_at: number | null
  /** Of the configs it is over. */
  may_read_tokens: Flag
  /** Of the right to read tokens; see `src/api-key/key-rights.ts`. */
  right_seal: string | null
}

/** A key that another has taken the place of, for as long as it works and a while beyond; or one that was deleted. */
export interface RotatedKeyRow {
  key_hash: string
  key_id: string
  ends_at: number
  /** Over all of these. */
  key_seal: string | null
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
  /** The event that carries the link, whenever it is delivered. */
  event_id: string | null
  /** The secret part, sealed. */
  link: string | null
  /** `oauth_version` of the config when the link was made: any login meanwhile ends the link. */
  config_version: number | null
  used_at: number | null
  /** Over all but `used_at`. NULL: written by an older release. */
  link_seal: string | null
}

/** Who did what; see `audit-log.ts`. */
export interface AuditLogRow {
  /** Says of what it is the only row where one row counts. */
  id: string
  type: string
  actor: string
  address: Generated<string | null>
  config_id: Generated<string | null>
  config_name: Generated<string | null>
  provider: Generated<string | null>
  key_id: Generated<string | null>
  key_name: Generated<string | null>
  reason: Generated<string | null>
  /** JSON text. */
  details: Generated<string | null>
  count: number
  /** When it happened first. */
  created_at: number
  last_at: number
}

/** The config that made what a client knows by an id; see `src/gateway/homes.ts`. */
export interface ResourceHomeRow {
  /** SHA-256 over the id of the key and the id, in base64url. */
  id_hash: string
  config_id: string
  expires_at: number
}

/** Console sessions that were signed out before their time. */
export interface EndedSessionRow {
  /** SHA-256 of what the cookie signs. */
  session_hash: string
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

/** What the last changes were of; see `changes.ts`. Those of an earlier release raise the counter alone. */
export interface ChangeLogRow {
  /** What the counter rose to. */
  number: number
  /** 'config' or 'key'. */
  kind: string
  row_id: string
  /** The same in all rows of a change, and in no other's. */
  mark: string
}

/** At most two rows; see `encryption-canary.ts`. */
export interface EncryptionCanaryRow {
  id: number
  /** Of the key that sealed it; see `src/base/encryption-keys.ts`. */
  key_id: string
  sealed: string
}

export interface Tables {
  model_configs: ModelConfigRow
  device_sessions: DeviceSessionRow
  api_keys: ApiKeyRow
  rotated_keys: RotatedKeyRow
  rate_counters: RateCounterRow
  change_counter: ChangeCounterRow
  change_log: ChangeLogRow
  audit_events: AuditEventRow
  login_links: LoginLinkRow
  ended_sessions: EndedSessionRow
  audit_log: AuditLogRow
  usage_hourly: UsageHourlyRow
  resource_homes: ResourceHomeRow
  encryption_canary: EncryptionCanaryRow
}

export const TABLE_NAMES = Object.keys({
  model_configs: true,
  device_sessions: true,
  api_keys: true,
  rotated_keys: true,
  rate_counters: true,
  change_counter: true,
  change_log: true,
  audit_events: true,
  login_links: true,
  ended_sessions: true,
  audit_log: true,
  usage_hourly: true,
  resource_homes: true,
  encryption_canary: true,
} satisfies Record<keyof Tables, true>)
