/**
 * Tokens in the OAuth columns of `model_configs`, sealed: what the server uses, always (docs/conformance.md).
 *
 * Twins: the same columns and the same compare-and-set on either database.
 */
import type { Provider } from '../../provider/provider.ts'
import type { Database } from '../../storage/database.ts'
import type { KeyRing } from '../../vault/key-ring.ts'
import { CredentialStore } from '../credential-store.ts'
import type { RowSeals } from '../row-seals.ts'

export class MySQLTokenPersistence extends CredentialStore {}

export class SQLiteTokenPersistence extends CredentialStore {}

export function openTokenPersistence(
  database: Database,
  keyRing: KeyRing,
  seals: RowSeals,
  providers: ReadonlyMap<string, Provider>,
): CredentialStore {
  const Twin = database.kind === 'mysql' ? MySQLTokenPersistence : SQLiteTokenPersistence
  return new Twin(database, keyRing, seals, providers)
}
