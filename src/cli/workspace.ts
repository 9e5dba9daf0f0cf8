/**
 * The parts of a broker without its listener, for commands that work on the database directly; a running broker
 * notices what changed by the change counter.
 */
import { closeParts } from '../background.ts'
import { readConfig } from '../base/config.ts'
import { createLog } from '../base/log.ts'
import { joinParts, type Parts } from '../parts.ts'
import { migrate } from '../storage/migrate.ts'

export async function inWorkspace<T>(work: (parts: Parts) => Promise<T>): Promise<T> {
  const parts = joinParts(readConfig(process.env), createLog('silent'))
  try {
    await migrate(parts.database)
    await parts.changes.look()
    return await work(parts)
  } finally {
    await closeParts(parts)
  }
}
