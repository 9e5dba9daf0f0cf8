/**
 * A credential as the columns of its row in `model_configs`.
 */
import { storedObject } from '../base/stored-json.ts'
import type { Provider } from '../provider/provider.ts'
import type { ModelConfigRow } from '../storage/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Credential, CredentialState } from './credential.ts'

/** What holds the tokens, for whoever writes or clears a row. */
export type CredentialColumns = Pick<
  ModelConfigRow,
  | 'oauth_access_token'
  | 'oauth_refresh_token'
  | 'oauth_token_type'
  | 'oauth_scope'
  | 'oauth_expires_at'
  | 'oauth_refreshed_at'
  | 'oauth_refresh_fingerprint'
  | 'oauth_state'
> & { oauth_metadata: string | null }

/** All OAuth columns empty. */
export function clearedColumns(state: 'active' | 'missing' | 'reauth_required'): CredentialColumns {
  return {
    oauth_access_token: null,
    oauth_refresh_token: null,
    oauth_token_type: null,
    oauth_scope: null,
    oauth_expires_at: null,
    oauth_refreshed_at: null,
    oauth_refresh_fingerprint: null,
    oauth_metadata: null,
    oauth_state: state,
  }
}

/** A row as it was read. */
export type ReadRow = Omit<ModelConfigRow, 'oauth_metadata'> & {
  oauth_metadata: unknown
  lease_is_live: number
}

/** @param provider as its config has it. @throws BrokerError decryption_failed */
export function openedCredential(row: ReadRow, provider: Provider, keyRing: KeyRing): Credential {
  const isApiKey = provider.kind === 'api_key'
  const sealed = isApiKey ? row.api_key : row.oauth_access_token
  return {
    configId: row.id,
    provider,
    loginAt: row.oauth_login_at,
    version: row.oauth_version,
    state: stateOf(row, provider),
    tokens: {
      accessToken: sealed ? keyRing.open(sealed) : '',
      refreshToken: row.oauth_refresh_token ? keyRing.open(row.oauth_refresh_token) : undefined,
      tokenType: row.oauth_token_type ?? 'Bearer',
      scope: row.oauth_scope ?? undefined,
      expiresAt: row.oauth_expires_at ?? undefined,
      receivedAt: row.oauth_refreshed_at ?? undefined,
      metadata: parseMetadata(row.oauth_metadata),
    },
    baseUrl: row.base_url,
    attempt: {
      id: row.attempt_id ?? undefined,
      lastId: row.last_attempt_id ?? undefined,
      leaseIsLive: row.lease_is_live === 1,
      nextAt: row.next_attempt_at,
      lastError: row.last_error ?? undefined,
    },
  }
}

/** Without its inputs nothing can be sent, whatever the row holds. */
function stateOf({ api_key, oauth_state }: ReadRow, { kind, lacking }: Provider): CredentialState {
  if (lacking.length > 0) return 'missing'
  if (kind === 'api_key') return api_key ? 'active' : 'missing'
  return oauth_state as CredentialState
}

/** MySQL gives JSON columns as objects, SQLite as text. */
export function parseMetadata(value: unknown): { readonly [name: string]: unknown } {
  if (typeof value === 'string') return storedObject(value) ?? {}
  return typeof value === 'object' && value !== null ? (value as { [name: string]: unknown }) : {}
}
