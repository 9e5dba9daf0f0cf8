/**
 * A provider to practise on: an authorization server and a model endpoint on one listener.
 *
 * Never in production. It is also the strict server that tests run against.
 */
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { type Clock, systemClock } from '../base/clock.ts'
import { addApprovalPage } from './approval-page.ts'
import { type AuthorizationServerParts, addAuthorizationServer } from './authorization-server.ts'
import { addControl, type Levers } from './control.ts'
import { newCounts } from './counts.ts'
import { type Decision, DeviceCodes } from './device-codes.ts'
import { Families } from './families.ts'
import { Faults } from './faults.ts'
import { StateFile } from './state-file.ts'
import { addUpstream } from './upstream.ts'

export interface SandboxOptions {
  readonly host?: string | undefined
  /** 0: any free one. */
  readonly port?: number | undefined
  /** JSON file in which grants and device codes survive a restart, for one sandbox alone; else memory only. */
  readonly stateFile?: string | undefined
  readonly accessTokenSeconds?: number | undefined
  readonly deviceCodeSeconds?: number | undefined
  /** Seconds between polls. null leaves it out of the answer; then 5 s hold (RFC 8628 §3.2). */
  readonly interval?: number | null | undefined
  /** Put into token answers; null leaves it out. */
  readonly resourceUrl?: string | null | undefined
  readonly clock?: Clock | undefined
  readonly clientId?: string | undefined
  /** Told every secret that it issues or is shown for the first time, for tests that look for these elsewhere. */
  readonly onSecret?: ((name: string, value: string) => void) | undefined
  /** Opens the `/control` routes. They have no guard of their own. */
  readonly control?: boolean | undefined
}

export interface Sandbox extends Levers {
  readonly origin: string
  /** Cuts running requests. */
  close(): Promise<void>
}

const DEFAULT_INTERVAL_SECONDS = 5
/** Above the 20 MiB up to which a broker keeps a body for replay. */
const BODY_LIMIT = 64 * 1024 * 1024

export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const settings = {
    clock: options.clock ?? systemClock,
    clientId: options.clientId ?? 'token-broker-sandbox',
    accessTokenSeconds: options.accessTokenSeconds ?? 60,
    deviceCodeSeconds: options.deviceCodeSeconds ?? 600,
    interval: options.interval === undefined ? 1 : options.interval,
    resourceUrl: options.resourceUrl ?? null,
    onSecret: options.onSecret,
  }
  const counts = newCounts()
  const faults = new Faults()
  const intervalSeconds = settings.interval ?? DEFAULT_INTERVAL_SECONDS
  const deviceCodes = new DeviceCodes({ ...settings, intervalSeconds })
  const families = new Families({ ...settings, counts })
  const stateFile = new StateFile(options.stateFile, deviceCodes, families)
  stateFile.load()

  const app = Fastify({
    forceCloseConnections: true,
    bodyLimit: BODY_LIMIT,
    // Ajv's defaults here would drop an unknown fault silently, or read "1" as 1.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  })
  const origin = () => originOf(app.server.address() as AddressInfo)
  const parts = { ...settings, deviceCodes, families, stateFile, faults, counts, origin }
  const levers = leversOf(parts)
  app.register(async (scope) => addAuthorizationServer(scope, parts))
  app.register(async (scope) => addApprovalPage(scope, parts))
  app.register(async (scope) => addUpstream(scope, parts), { prefix: '/v1' })
  if (options.control) app.register(async (scope) => addControl(scope, levers))
  await app.listen({ host: options.host ?? '127.0.0.1', port: options.port ?? 0 })

  const close = async () => {
    await app.close()
    await stateFile.idle()
  }
  return { ...levers, origin: origin(), close }
}

type LeverParts = Pick<
  AuthorizationServerParts,
  'deviceCodes' | 'families' | 'stateFile' | 'faults' | 'counts'
>

function leversOf({ deviceCodes, families, stateFile, faults, counts }: LeverParts): Levers {
  const decide = async (userCode: string, decision: Decision) => {
    const isDecided = deviceCodes.decide(userCode, decision)
    await stateFile.save()
    return isDecided
  }
  return {
    faults,
    counts,
    approve: (userCode) => decide(userCode, 'approved'),
    deny: (userCode) => decide(userCode, 'denied'),
    revokeAccessTokens: () => {
      families.revokeAccessTokens()
      return stateFile.save()
    },
    revokeFamilies: () => {
      families.revokeAll()
      return stateFile.save()
    },
  }
}

/** A wildcard address is no place to send a browser to, so loopback stands for it. */
function originOf({ address, family, port }: AddressInfo): string {
  if (address === '0.0.0.0' || address === '::') return `http://127.0.0.1:${port}`
  return family === 'IPv6' ? `http://[${address}]:${port}` : `http://${address}:${port}`
}
