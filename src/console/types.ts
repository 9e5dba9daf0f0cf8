/** Answers of the management API, as far as the console reads them (interface.md §5). */

export type CredentialState =
  | 'active'
  | 'refreshing'
  | 'uncertain'
  | 'cooling_down'
  | 'reauth_required'
  | 'missing'

export type CredentialKind = 'device_code' | 'client_credentials' | 'session' | 'api_key'

export interface ModelConfig {
  readonly id: string
  readonly name: string
  readonly provider: string
  readonly base_url: string
  readonly models: readonly { readonly model_id: string }[]
  readonly is_active: boolean
  readonly created_at: number
  readonly updated_at: number
  readonly credential: {
    readonly kind: CredentialKind | null
    readonly state: CredentialState
    readonly expires_at: number | null
    readonly refreshed_at: number | null
    readonly scope: string | null
    readonly resource_url: string | null
    readonly fingerprint: string | null
    readonly next_action: 'none' | 'wait' | 'login' | 'set_api_key' | 'restore_provider'
  }
}

export interface Page<T> {
  readonly total: number
  readonly items: readonly T[]
}

export interface Provider {
  readonly name: string
  readonly label: string
  readonly credential: CredentialKind
  readonly base_url: string | null
  readonly models: readonly string[]
}

export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly prefix: string
  readonly model_config_ids: readonly string[] | null
  readonly models: readonly string[] | null
  readonly requests_per_minute: number | null
  readonly expires_at: number | null
  readonly created_at: number
}

export interface UsageRow {
  readonly group: string
  readonly name?: string | null
  readonly at?: number
  readonly requests: number
  readonly errors: number
  readonly prompt_tokens: number
  readonly completion_tokens: number
}

export interface AuditEvent {
  readonly id: string
  readonly type: string
  readonly config_id: string
  readonly config_name: string
  readonly provider: string
  readonly reason: string | null
  readonly created_at: number
}

export interface Diagnosis {
  readonly ok: boolean
  readonly cause: string
  readonly advice: string
  readonly cause_zh?: string
  readonly advice_zh?: string
  readonly upstream_status: number | null
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[]
}
