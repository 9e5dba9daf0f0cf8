/**
 * `serve`: from the environment to one broker process or several, and down again on a signal.
 */
import cluster from 'node:cluster'
import { join } from 'node:path'
import { adminTokenFile, readAdminToken } from './admin/admin-token.ts'
import { SECOND } from './base/clock.ts'
import { type Config, loadConfig } from './base/config.ts'
import { makeDataDir } from './base/folder.ts'
import { createLog, type Logger } from './base/log.ts'
import { type Environment, readSettings, type Settings } from './base/settings.ts'
import { type Broker, startBroker } from './broker.ts'
import { writeSandboxOrigin } from './sandbox/address-file.ts'
import { enrolSandbox } from './sandbox/enrol.ts'
import { type Sandbox, startSandbox } from './sandbox/sandbox.ts'
import { startPrimary } from './workers/primary.ts'
import { SANDBOX_ORIGIN, startWorker } from './workers/worker.ts'

/** After SIGTERM a load balancer needs this long to see that `/health/ready` says no. */
const DRAIN_MS = 5 * SECOND

/** Resolves once the broker is ready. @throws ConfigError for what the operator must correct */
export async function serve(env: Environment): Promise<void> {
  process.stdout.on('error', () => {}) // nobody reads the welcome: no reason to stop
  const settings = readSettings(env)
  makeDataDir(settings.dataDir)
  const log = createLog(settings.logLevel)
  const adminToken = readAdminToken(settings)
  if (cluster.isWorker) {
    const config = loadConfig(settings, env, { sandboxOrigin: env[SANDBOX_ORIGIN] })
    return startWorker(config, adminToken, log)
  }
  const sandbox = settings.isProduction ? undefined : await openSandbox(settings)
  const config = loadConfig(settings, env, { sandboxOrigin: sandbox?.origin })
  warnOfBuiltInKey(config, log)
  const broker =
    config.workers === 1
      ? await startBroker(config, adminToken, log)
      : await startPrimary(config, log, sandbox?.origin)
  stopOnSignals(broker, sandbox, settings, log)
  log.info({ address: broker.address }, 'ready')
  if (!sandbox) return
  await writeSandboxOrigin(settings.dataDir, sandbox.origin)
  const enrolment = await enrolSandbox(broker.address, adminToken.reveal(), sandbox)
  if (enrolment)
    process.stdout.write(welcome(broker.address, enrolment.key, adminTokenFile(settings.dataDir)))
}

function openSandbox(settings: Settings): Promise<Sandbox> {
  return startSandbox({ stateFile: join(settings.dataDir, 'sandbox.json') })
}

function warnOfBuiltInKey(config: Config, log: Logger): void {
  if (!config.usesBuiltInEncryptionKey) return
  const setting = 'TOKEN_ENCRYPTION_KEY'
  log.warn(
    { setting },
    'tokens are sealed with the built-in key, which everybody knows: set TOKEN_ENCRYPTION_KEY',
  )
}

function welcome(address: string, key: string, tokenFile: string): string {
  return `
  token-broker is running, and a sandbox provider is connected to practise on.

  Console      ${address}/        (admin token: ${tokenFile})
  Base URL     ${address}/v1
  Broker key   ${key}   (shown only now)

  Try it:

curl -N ${address}/v1/chat/completions -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" -d '{"model":"sandbox-model","stream":true,"messages":[{"role":"user","content":"Hello"}]}'

`
}

/**
 * SIGTERM: not ready at once, yet serving until balancers have noticed; then no new connections, while running
 * calls, streams and refreshes finish within SHUTDOWN_GRACE_SECONDS. SIGINT skips the wait for balancers.
 */
function stopOnSignals(broker: Broker, sandbox: Sandbox | undefined, settings: Settings, log: Logger): void {
  const graceMs = settings.shutdownGraceSeconds * SECOND
  let isStopping = false
  const stop = async (signal: NodeJS.Signals) => {
    if (isStopping) return
    isStopping = true
    log.info({ signal }, 'stopping')
    broker.drain()
    if (signal === 'SIGTERM') await new Promise((resolve) => setTimeout(resolve, Math.min(DRAIN_MS, graceMs)))
    await broker.close(graceMs)
    await sandbox?.close()
    log.info({ signal }, 'stopped')
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}
