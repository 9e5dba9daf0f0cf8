/**
 * Ties what is sealed in a row to its row: whoever can only write to the database can neither move a secret to another
 * row or column nor have it sent elsewhere.
 *
 * A row of `model_configs` has two, because two statements with different predicates write it: one over what a form
 * sets, one over what a refresh writes. Each is written by the very statement that writes its columns. The values
 * themselves stay plain Fernet, for other programs to read.
 */
import type { ModelConfigRow } from '../storage/tables.ts'
import { Seals } from '../vault/seals.ts'
import { parseMetadata } from './credential-columns.ts'

export type SealedConfig = Pick<
  ModelConfigRow,
  'id' | 'provider' | 'base_url' | 'api_key' | 'inputs' | 'inputs_sealed'
>
/** State and instants are not among them: whoever changes those can have tokens renewed early or late, and no more. */
export type SealedOAuth = Pick<
  ModelConfigRow,
  | 'id'
  | 'provider'
  | 'oauth_access_token'
  | 'oauth_refresh_token'
  | 'oauth_token_type'
  | 'oauth_scope'
  | 'oauth_refresh_fingerprint'
> & { oauth_metadata: unknown }

export type SealedRow = SealedConfig & SealedOAuth & Pick<ModelConfigRow, 'config_seal' | 'oauth_seal'>

export class RowSeals extends Seals {
  config(row: SealedConfig): { config_seal: string } {
    return { config_seal: this.sign(configFields(row)) }
  }

  oauth(row: SealedOAuth): { oauth_seal: string } {
    return { oauth_seal: this.sign(oauthFields(row)) }
  }

  /** @throws BrokerError decryption_failed */
  checkConfig(row: SealedConfig & Pick<ModelConfigRow, 'config_seal'>): void {
    this.check(configFields(row), row.config_seal, 'base URL, API key and inputs')
  }

  /** @throws BrokerError decryption_failed */
  checkOAuth(row: SealedOAuth & Pick<ModelConfigRow, 'oauth_seal'>): void {
    this.check(oauthFields(row), row.oauth_seal, 'OAuth columns')
  }
}

/** Of a row without inputs as before there were any: the seals of older releases hold. */
function configFields({ id, provider, base_url, api_key, inputs, inputs_sealed }: SealedConfig): unknown[] {
  const own = inputs === null && inputs_sealed === null ? [] : [inputs, inputs_sealed]
  return ['model_configs', id, provider, base_url, api_key, ...own]
}

function oauthFields(row: SealedOAuth): unknown[] {
  return [
    'model_configs oauth',
    row.id,
    row.provider,
    parseMetadata(row.oauth_metadata)['resource_url'] ?? null,
    row.oauth_access_token,
    row.oauth_refresh_token,
    row.oauth_token_type,
    row.oauth_scope,
    row.oauth_refresh_fingerprint,
  ]
}
