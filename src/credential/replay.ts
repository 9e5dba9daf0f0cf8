import { type Credential, isOlder, renewedBy, type Standing } from './credential.ts'
import type { CredentialStore } from './credential-store.ts'
import type { Journal } from './journal.ts'
import type { JournalEntry } from './journal-reader.ts'

/**
 * Stores what journals hold for this version of a row: answers that were read by a process that then died, or
 * that is cut off from the database. @returns whether there was one
 */
export async function replay(
  { journal, store }: { journal: Journal; store: CredentialStore },
  row: Credential,
): Promise<boolean> {
  const entry = journal
    .pending()
    .find((one) => one.configId === row.configId && !isOlder(row, before(one)) && !isOlder(before(one), row))
  if (!entry) return false
  await store.storeRenewed(row, renewedBy(row, entry.tokens, entry.attemptId))
  journal.done(entry.attemptId)
  return true
}

function before({ loginAt, fromVersion: version }: JournalEntry): Standing {
  return { loginAt, version }
}
