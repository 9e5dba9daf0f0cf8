/**
 * `encryption-key generate | rotate` and `migrate`: work on the database as a whole.
 */
import type { Database } from '../storage/database.ts'
import { generateFernetKey } from '../vault/fernet.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { type CommandLine, UsageError } from './command-line.ts'
import { answer } from './output.ts'
import { inWorkspace } from './workspace.ts'

export async function encryptionKey(line: CommandLine): Promise<void> {
  const [action] = line.words
  if (action === 'generate') {
    const key = generateFernetKey()
    answer(line, { key }, `${key}\n`)
    return
  }
  if (action !== 'rotate') throw new UsageError('encryption-key takes generate or rotate')
  await inWorkspace(async ({ database, keys }) => {
    const count = await resealAll(database, keys)
    answer(line, { count }, `${count} values sealed with the first key; the other keys may go now\n`)
  })
}

export async function migrateNow(line: CommandLine): Promise<void> {
  await inWorkspace(async () => {
    answer(line, { up_to_date: true }, 'the database is up to date\n')
  })
}

const SEALED = [
  ['model_configs', 'api_key'],
  ['model_configs', 'oauth_access_token'],
  ['model_configs', 'oauth_refresh_token'],
  ['device_sessions', 'device_code'],
  ['device_sessions', 'code_verifier'],
  ['device_sessions', 'tokens'],
] as const

/** Seals anew what older keys sealed. A value that changes meanwhile was sealed by the current key anyway. */
async function resealAll(database: Database, keys: KeyRing): Promise<number> {
  let count = 0
  for (const [table, column] of SEALED) {
    const rows = await database.run((db) => db.selectFrom(table).select(['id', column]).execute())
    for (const row of rows as { id: string; [column: string]: string | null }[]) {
      const sealed = row[column]
      if (!sealed || keys.isCurrent(sealed)) continue
      const result = await database.run((db) =>
        db
          .updateTable(table)
          .set({ [column]: keys.seal(keys.open(sealed)) })
          .where('id', '=', row.id)
          .where(column as 'id', '=', sealed)
          .executeTakeFirst(),
      )
      count += Number(result.numUpdatedRows)
    }
  }
  return count
}
