/**
 * Rows without a seal are refused as soon as the database says that all have one.
 */
import type { Logger } from '../base/log.ts'
import type { ChangeWatcher } from './changes.ts'
import type { Database } from './database.ts'
import { rowsAreSealed } from './encryption-canary.ts'

/** `src/vault/seals.ts` is one. */
interface Enforced {
  readonly isEnforced: boolean
  enforce(): void
}

/** Looks now, and again with every change. @throws BrokerError storage_unavailable */
export async function enforceSeals(
  database: Database,
  seals: Enforced,
  changes: Pick<ChangeWatcher, 'onChange'>,
  log: Logger,
): Promise<void> {
  const look = async () => {
    if (!seals.isEnforced && (await rowsAreSealed(database))) seals.enforce()
  }
  await look()
  if (seals.isEnforced) return
  log.warn(
    { setting: 'encryption-key seal' },
    'secrets in this database can be moved from row to row by whoever can write to it: once no replica of an earlier release runs, call token-broker encryption-key seal',
  )
  changes.onChange(() => void look().catch(() => {})) // the next change looks again
}
