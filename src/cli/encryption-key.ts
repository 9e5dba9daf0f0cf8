/**
 * `encryption-key generate | rotate | seal` and `migrate`: work on the database as a whole; rotate takes the journal of
 * its DATA_DIR along.
 */
import { ConfigError } from '../base/environment.ts'
import { markRowsSealed, resealCanary } from '../storage/encryption-canary.ts'
import { generateFernetKey } from '../vault/fernet.ts'
import { type CommandLine, UsageError } from './command-line.ts'
import { answer, shown } from './output.ts'
import { resealAll } from './reseal.ts'
import { inWorkspace } from './workspace.ts'

export async function encryptionKey(line: CommandLine): Promise<void> {
  const [action] = line.words
  if (action === 'generate') {
    const key = generateFernetKey()
    answer(line, { key }, `${key}\n`)
    return
  }
  if (action === 'seal') return sealRows(line)
  if (action !== 'rotate')
    throw new UsageError(
      'encryption-key takes generate, rotate or seal',
      'encryption-key 后面应为 generate、rotate 或 seal',
    )
  await inWorkspace(async ({ database, keyRing, seals, deviceSessionStore, journal }) => {
    const { count, left } = await resealAll(database, keyRing, seals, deviceSessionStore, false)
    const lines = journal.reseal()
    if (left.length > 0) throw leftBehind(left)
    await resealCanary(database, keyRing)
    const sealed = count + lines
    answer(line, { count: sealed }, `${sealed} values sealed with the first key; the other keys may go now\n`)
  })
}

/** For a database of an earlier release. A new one has its seals from the start. */
async function sealRows(line: CommandLine): Promise<void> {
  if (!line.options.yes) {
    throw new UsageError(
      'encryption-key seal ties every secret to its row as it stands now. Replicas of an earlier release write rows ' +
        'without a seal, which are refused from then on: stop them all first, then call it with --yes',
      'encryption-key seal 会把每个机密与其所在的行绑定。旧版本的副本写入的行没有封印，此后会被拒绝：请先停止全部旧副本，再加上 --yes 执行',
    )
  }
  await inWorkspace(async ({ database, keyRing, seals, deviceSessionStore }) => {
    const { rows, left } = await resealAll(database, keyRing, seals, deviceSessionStore, true)
    await markRowsSealed(database, keyRing)
    for (const row of left) process.stderr.write(`left as it is, for no key opens it: ${shown(row)}\n`)
    answer(line, { rows, left }, `${rows} rows sealed; rows without a seal are refused from now on\n`)
  })
}

function leftBehind(left: readonly string[]): Error {
  return new ConfigError(
    `these rows were left as they are, for no key opens them or their seal does not hold; connect them again or ` +
      `delete them, then rotate once more: ${left.join(', ')}`,
  )
}

export async function migrateNow(line: CommandLine): Promise<void> {
  await inWorkspace(async () => {
    answer(line, { up_to_date: true }, 'the database is up to date\n')
  })
}
