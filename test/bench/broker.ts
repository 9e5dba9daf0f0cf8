/**
 * The broker that is measured: what `npm run build` made, with default settings.
 */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import type { Environment } from '../../src/base/environment.ts'
import { createConfigAndKey } from '../support/broker.ts'
import { type BrokerProcess, BUILT, startProcess } from '../support/broker-process.ts'
import type { Lab } from './lab.ts'
import { MODEL } from './messages.ts'

export interface BrokerOptions {
  /** YAML below `providers:` by name, as objects. */
  readonly providers: Readonly<Record<string, object>>
  readonly env?: Environment
  /** A checkout that is built; default: this one, or the one of `--of`. */
  readonly checkout?: string | undefined
}

/** An `api_key` provider named `bench`, in front of any upstream on loopback. */
export function plainProvider(upstream: string): Record<string, object> {
  return { bench: { credential: 'api_key', upstream: { base_url: `${upstream}/v1` } } }
}

export function startBroker(
  lab: Lab,
  { checkout = lab.checkout, ...options }: BrokerOptions,
): Promise<BrokerProcess> {
  const main = checkout === undefined ? BUILT : join(checkout, 'dist/server/main.js')
  return startProcess(lab, { ...options, main, dir: mkdtempSync(join(lab.dir, 'broker-')) })
}

/** A config of this provider. @returns a broker key for it alone */
export async function connect(broker: BrokerProcess, provider: string, fields: object = {}): Promise<string> {
  const { key } = await createConfigAndKey(broker, {
    name: provider,
    provider,
    models: [{ model_id: MODEL }],
    ...('oauth_session_id' in fields ? {} : { api_key: 'sk-upstream-of-the-bench' }),
    ...fields,
  })
  return key
}
