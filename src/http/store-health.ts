/**
 * Whether what a call needs can be read and written, for `/health/ready`.
 */
import { SECOND } from '../base/clock.ts'
import type { Journal } from '../credential/journal.ts'
import type { ChangeWatcher } from '../storage/changes.ts'
import type { Database } from '../storage/database.ts'
import { keysFit } from '../storage/encryption-canary.ts'
import type { KeyRing } from '../vault/key-ring.ts'

export interface Stores {
  readonly changes: Pick<ChangeWatcher, 'look'>
  readonly database: Database
  readonly keyRing: KeyRing
  readonly journal: Pick<Journal, 'isWritable'>
}

/** What is wrong with them, in words; load balancers ask as often as they like: one look a second answers them all. */
export function storeHealth(stores: Stores): () => Promise<string | undefined> {
  let last: { at: number; answer: Promise<string | undefined> } | undefined
  return () => {
    const now = performance.now()
    if (!last || now - last.at >= SECOND) last = { at: now, answer: problemOf(stores) }
    return last.answer
  }
}

async function problemOf({ changes, database, keyRing, journal }: Stores): Promise<string | undefined> {
  let problem = 'the database does not answer'
  try {
    await changes.look()
    problem = 'the database cannot be written'
    await database.checkWritable()
    if (!(await keysFit(database, keyRing))) return 'TOKEN_ENCRYPTION_KEY does not open the database'
    return journal.isWritable() ? undefined : 'the journal cannot be written'
  } catch {
    return problem
  }
}
