/**
 * Logins by the thousand, straight into the table: good ones, and those that nothing can be done about.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { Secret } from '../../src/base/secret.ts'
import { fingerprint } from '../../src/credential/credential.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { noteChange } from '../../src/storage/changes.ts'
import type { Database } from '../../src/storage/database.ts'
import { FernetKey } from '../../src/vault/fernet.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'

export interface PlannedLogin {
  readonly id: string
  /** Its refresh token is `NAME.0`, as the strict token server (token-server.ts) knows it. */
  readonly name: string
  readonly provider: string
  /** Epoch ms. */
  readonly expiresAt: number
  readonly flaw?: 'no refresh token' | 'sealed with a lost key'
}

/** TOKEN_ENCRYPTION_KEY of the broker whose rows these are to be. */
export const LOGINS_KEY = Buffer.from('logins-logins-logins-logins-1234').toString('base64url').concat('=')
/** SQLite takes 32,766 values a statement. */
const ROWS_A_STATEMENT = 500

export function planLogin(login: Omit<PlannedLogin, 'id'>): PlannedLogin {
  return { id: randomUUID(), ...login }
}

export async function insertLogins(
  database: Database,
  logins: readonly PlannedLogin[],
  encryptionKey = LOGINS_KEY,
): Promise<void> {
  const good = new KeyRing([new Secret(encryptionKey)])
  const seals = new RowSeals(good)
  const lost = new FernetKey(randomBytes(32).toString('base64url').concat('='))
  const rows = logins.map(({ id, name, provider, expiresAt, flaw }) => {
    const access = `access-of-${name}-0`
    const row = {
      id,
      name,
      active_name: name,
      provider,
      base_url: '',
      api_key: '',
      models: '[{"model_id":"m"}]',
      aliases: null,
      inputs: null,
      inputs_sealed: null,
      is_active: 1,
      created_at: 1,
      updated_at: 1,
      oauth_access_token: flaw === 'sealed with a lost key' ? lost.encrypt(access) : good.seal(access),
      oauth_refresh_token: flaw === 'no refresh token' ? null : good.seal(`${name}.0`),
      oauth_token_type: 'Bearer',
      oauth_scope: null,
      oauth_refresh_fingerprint: flaw === 'no refresh token' ? null : fingerprint(`${name}.0`),
      oauth_expires_at: Math.trunc(expiresAt),
      oauth_metadata: '{}',
      oauth_login_at: 0,
      oauth_version: 1,
      oauth_state: 'active',
      lease_until: 0,
      next_attempt_at: 0,
    }
    return { ...row, ...seals.config(row), ...seals.oauth(row) }
  })
  await database.transaction(async (trx) => {
    for (let from = 0; from < rows.length; from += ROWS_A_STATEMENT) {
      await trx
        .insertInto('model_configs')
        .values(rows.slice(from, from + ROWS_A_STATEMENT))
        .execute()
    }
    await noteChange(trx)
  })
}
