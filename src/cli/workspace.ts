/**
 * The parts of a broker without its listener, for commands that work on the database directly; a running broker
 * notices what changed by the change counter.
 */
import { closeParts } from '../background.ts'
import { loadConfig } from '../base/config.ts'
import { BrokerError } from '../base/errors.ts'
import { createLog } from '../base/log.ts'
import { readSettings } from '../base/settings.ts'
import { joinParts, type Parts } from '../parts.ts'
import { readSandboxOrigin } from '../sandbox/address-file.ts'
import type { Database } from '../storage/database.ts'
import { migrate } from '../storage/migrate.ts'

export async function inWorkspace<T>(work: (parts: Parts) => Promise<T>): Promise<T> {
  const settings = readSettings(process.env)
  const sandboxOrigin = settings.isProduction ? undefined : readSandboxOrigin(settings.dataDir)
  const parts = joinParts(loadConfig(settings, process.env, { sandboxOrigin }), createLog('silent'))
  try {
    await migrate(parts.database)
    await parts.changes.look()
    return await work(parts)
  } finally {
    await closeParts(parts)
  }
}

export const NO_CONFIGS = 'no model configs yet; connect an account in the console, or import FILE\n'

/** @param wanted a name or an id; undefined: all. @throws BrokerError config_not_found */
export async function findConfigs(database: Database, wanted?: string) {
  const rows = await database.run((db) =>
    db
      .selectFrom('model_configs')
      .select(['id', 'name', 'provider', 'oauth_state', 'is_active'])
      .where('deleted_at', 'is', null)
      .orderBy('created_at')
      .execute(),
  )
  if (wanted === undefined) return rows
  const found = rows.filter(({ id, name }) => id === wanted || name === wanted)
  if (found.length === 0) throw new BrokerError('config_not_found')
  return found
}
