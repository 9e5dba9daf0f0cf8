/**
 * `serve`: from the environment to one broker process or several, and down again on a signal.
 */
import cluster from 'node:cluster'
import { readAdminToken } from './admin/admin-token.ts'
import { SECOND } from './base/clock.ts'
import type { Environment } from './base/environment.ts'
import { closeDataDir, makeDataDir } from './base/folder.ts'
import { createLog } from './base/log.ts'
import { startBroker } from './broker.ts'
import { loadConfig } from './settings/config.ts'
import { readSettings } from './settings/settings.ts'
import { connectSandbox, openSandbox } from './start/sandbox.ts'
import { stopOnSignals } from './start/signals.ts'
import { startPrimary } from './workers/primary.ts'
import { SANDBOX_ORIGIN, startWorker } from './workers/worker.ts'

/** Resolves once the broker is ready. @throws ConfigError for what the operator must correct */
export async function serve(env: Environment): Promise<void> {
  process.stdout.on('error', () => {}) // nobody reads the welcome: no reason to stop
  const settings = readSettings(env)
  const { dataDir, shutdownGraceSeconds } = settings
  makeDataDir(dataDir)
  const log = createLog(settings.logLevel)
  const adminToken = readAdminToken(settings)
  if (cluster.isWorker) {
    const config = loadConfig(settings, env, { sandboxOrigin: env[SANDBOX_ORIGIN] })
    return startWorker(config, adminToken, log)
  }
  const sandbox = settings.isProduction ? undefined : await openSandbox(dataDir)
  const config = loadConfig(settings, env, { sandboxOrigin: sandbox?.origin })
  for (const { setting, message } of [...config.warnings, ...closeDataDir(dataDir)])
    log.warn({ setting }, message)
  const broker =
    config.workers === 1
      ? await startBroker(config, adminToken, log)
      : await startPrimary(config, log, sandbox?.origin)
  stopOnSignals(broker, async () => sandbox?.close(), shutdownGraceSeconds * SECOND, log)
  const { address } = broker
  log.info({ address }, 'ready')
  if (sandbox) await connectSandbox(sandbox, { address, dataDir, adminToken }, log)
}
