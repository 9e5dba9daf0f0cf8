/**
 * The parts of a broker without its listener, for commands that work on the database directly; a running broker
 * notices what changed by the change counter.
 */
import { closeParts } from '../background.ts'
import { BrokerError } from '../base/errors.ts'
import { createLog } from '../base/log.ts'
import { joinParts, type Parts } from '../parts.ts'
import { readSandboxOrigin } from '../sandbox/address-file.ts'
import { loadConfig } from '../settings/config.ts'
import { readSettings } from '../settings/settings.ts'
import { proveKeys, rowsAreSealed } from '../storage/encryption-canary.ts'
import { migrate } from '../storage/migrate.ts'
import { refusalBy } from '../storage/when-usable.ts'

export async function inWorkspace<T>(work: (parts: Parts) => Promise<T>): Promise<T> {
  const settings = readSettings(process.env)
  const sandboxOrigin = settings.isProduction ? undefined : readSandboxOrigin(settings.dataDir)
  const parts = joinParts(loadConfig(settings, process.env, { sandboxOrigin }), createLog('silent'))
  try {
    await migrate(parts.database)
    await proveKeys(parts.database, parts.keyRing)
    if (await rowsAreSealed(parts.database)) parts.seals.enforce()
    await parts.changes.look()
    return await work(parts)
  } catch (error) {
    throw refusalBy(parts.config, error) ?? error
  } finally {
    await closeParts(parts)
  }
}

export const NO_CONFIGS = 'no model configs yet; connect an account in the console, or import FILE\n'

/** @param wanted a name or an id; undefined: all. @throws BrokerError config_not_found */
export async function findConfigs(reader: Parts['configReader'], wanted?: string) {
  if (wanted === undefined) return reader.all()
  const found = await reader.named(wanted)
  if (found.length === 0) throw new BrokerError('config_not_found')
  return found
}
