/**
 * The broker as a user starts it, so what `npm run build` made: a process of its own, NODE_ENV unset, default
 * settings, a fresh DATA_DIR; its log goes into a file. Configs and keys are made through its API.
 */
import { mkdtempSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../support/free-port.ts'
import { type Lab, PeerFailed } from './lab.ts'
import { MODEL } from './messages.ts'
import { type Running, start, untilAnswers } from './processes.ts'

const MAIN = fileURLToPath(new URL('../../dist/server/main.js', import.meta.url))
export const ADMIN_TOKEN = 'admin-token-for-bench-0123456789abcdef'

export interface BrokerOptions {
  /** YAML below `providers:` by name, as objects. */
  readonly providers: Readonly<Record<string, object>>
  readonly env?: Readonly<Record<string, string>>
  /** Default: a fresh one. */
  readonly dataDir?: string
}

export interface BrokerProcess extends Running {
  readonly origin: string
  readonly dataDir: string
  /** From spawn to the first good answer of `/health/ready`. */
  readonly readyMs: number
  api(method: string, path: string, body?: object): Promise<Record<string, unknown>>
  /** A config of this provider and a broker key for it alone. */
  connect(provider: string, fields?: object): Promise<string>
}

/** An `api_key` provider named `bench`, in front of any upstream on loopback. */
export function plainProvider(upstream: string): Record<string, object> {
  return { bench: { credential: 'api_key', upstream: { base_url: `${upstream}/v1` } } }
}

export async function startBroker(lab: Lab, options: BrokerOptions): Promise<BrokerProcess> {
  const dataDir = options.dataDir ?? mkdtempSync(join(lab.dir, 'broker-'))
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const configFile = join(dataDir, 'bench.yaml') // JSON is YAML
  writeFileSync(configFile, JSON.stringify({ allow_insecure_loopback: true, providers: options.providers }))
  const { NODE_ENV: _, ...surroundings } = process.env
  const log = openSync(join(dataDir, 'broker.log'), 'a')
  const running = start('broker', process.execPath, [MAIN, 'serve'], {
    stdio: ['ignore', log, log],
    env: {
      ...surroundings,
      DATA_DIR: dataDir,
      PORT: String(port),
      ADMIN_TOKEN,
      CONFIG_FILE: configFile,
      ...options.env,
    },
  })
  const readyMs = await untilAnswers(`${origin}/health/ready`)
  const api = (method: string, path: string, body?: object) => callApi(origin, method, path, body)
  return { ...running, origin, dataDir, readyMs, api, connect: (...args) => connect(api, ...args) }
}

async function callApi(origin: string, method: string, path: string, body?: object) {
  const response = await fetch(origin + path, {
    method,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  })
  const answer = (await response.json()) as Record<string, unknown>
  if (!response.ok) throw new PeerFailed(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`)
  return answer
}

async function connect(api: BrokerProcess['api'], provider: string, fields: object = {}): Promise<string> {
  const config = await api('POST', '/api/models/configs', {
    name: provider,
    provider,
    models: [{ model_id: MODEL }],
    ...('oauth_session_id' in fields ? {} : { api_key: 'sk-upstream-of-the-bench' }),
    ...fields,
  })
  const key = await api('POST', '/api/keys', { name: provider, model_config_ids: [config['id']] })
  return String(key['key'])
}
