/**
 * The sandbox that a broker runs to practise on, outside production.
 */
import { join } from 'node:path'
import { adminTokenFile } from '../admin/admin-token.ts'
import { ConfigError } from '../base/environment.ts'
import type { Logger } from '../base/log.ts'
import type { Secret } from '../base/secret.ts'
import { writeSandboxOrigin } from '../sandbox/address-file.ts'
import { enrolSandbox } from '../sandbox/enrol.ts'
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts'
import { holdFileLock } from '../storage/file-lock.ts'

/** One process at a time: its logins and its address are in DATA_DIR. @throws ConfigError if another has it */
export async function openSandbox(dataDir: string): Promise<Sandbox> {
  const release = holdFileLock(join(dataDir, 'sandbox-lock'))
  if (!release) {
    throw new ConfigError(
      `DATA_DIR: another broker works in ${dataDir}, and practises with its sandbox: stop that one, or give this one a directory (DATA_DIR) and a port (PORT) of its own`,
    )
  }
  const sandbox = await startSandbox({ stateFile: join(dataDir, 'sandbox.json') })
  return {
    ...sandbox,
    async close() {
      await sandbox.close()
      release()
    },
  }
}

/** A broker that runs, and where its secrets are. */
interface Place {
  readonly address: string
  readonly dataDir: string
  readonly adminToken: Secret
}

/** Connects it to a broker that is new, and says so on the terminal. */
export async function connectSandbox(
  sandbox: Sandbox,
  { address, dataDir, adminToken }: Place,
  log: Logger,
): Promise<void> {
  await writeSandboxOrigin(dataDir, sandbox.origin)
  const enrolment = await enrolSandbox(address, adminToken.reveal(), sandbox).catch((error: unknown) => {
    log.warn({ err: error }, 'the sandbox could not be connected')
  })
  if (enrolment) process.stdout.write(welcome(address, enrolment.key, adminTokenFile(dataDir)))
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
