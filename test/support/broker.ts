/**
 * A whole broker in this process: real HTTP on a free port, a real database, the sandbox at the far end.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { loadConfig } from '../../src/base/config.ts'
import { createLog } from '../../src/base/log.ts'
import { Secret } from '../../src/base/secret.ts'
import { type Environment, readSettings } from '../../src/base/settings.ts'
import { type Broker as RunningBroker, startBroker as start } from '../../src/broker.ts'
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/sandbox.ts'

export interface BrokerOptions {
  /** DATABASE_URL; default SQLite in a fresh directory. */
  readonly databaseUrl?: string
  readonly env?: Environment
  /** Content of CONFIG_FILE; `{sandbox}` stands for the sandbox's origin, `{host}` for its host:port. */
  readonly config?: string
  readonly sandbox?: SandboxOptions
  /** A sandbox that is already running, e.g. the one of another replica. */
  readonly shared?: Sandbox
}

export interface Broker {
  readonly origin: string
  readonly app: RunningBroker
  readonly sandbox: Sandbox
  readonly adminToken: string
  readonly dataDir: string
  /** Every line logged so far. */
  readonly log: string[]
  /** A JSON call with the admin token. */
  admin(method: string, path: string, body?: unknown): Promise<Answer>
  /** Device flow to the end, then a config and a key for it. */
  connect(name?: string, fields?: Record<string, unknown>): Promise<Connected>
  close(): Promise<void>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly body: any
}

export interface Connected {
  readonly configId: string
  readonly key: string
}

export const ADMIN_TOKEN = 'admin-token-for-tests-0123456789abcdef'

export async function startBroker(t: Test, options: BrokerOptions = {}): Promise<Broker> {
  const dataDir = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
  const sandbox = options.shared ?? (await startSandbox({ control: true, ...options.sandbox }))
  const env: Record<string, string | undefined> = {
    DATA_DIR: dataDir,
    PORT: '0',
    ADMIN_TOKEN,
    DATABASE_URL: options.databaseUrl ?? 'sqlite:',
    ...options.env,
  }
  if (options.config) {
    env['CONFIG_FILE'] = join(dataDir, 'config.yaml')
    const text = options.config
      .replaceAll('{sandbox}', sandbox.origin)
      .replaceAll('{host}', new URL(sandbox.origin).host)
    writeFileSync(env['CONFIG_FILE'], text)
  }
  const log: string[] = []
  const settings = readSettings(env)
  const config = loadConfig(settings, env, { sandboxOrigin: sandbox.origin })
  const destination = { write: (line: string) => void log.push(line) }
  const app = await start(config, new Secret(ADMIN_TOKEN), createLog('trace', destination))
  const origin = app.address

  let isClosed = false
  const close = async () => {
    if (isClosed) return
    isClosed = true
    await app.close(0)
    if (!options.shared) await sandbox.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
  t.teardown(close)
  const admin = (method: string, path: string, body?: unknown) =>
    call(origin + path, method, body, ADMIN_TOKEN)
  const broker = { origin, app, sandbox, adminToken: ADMIN_TOKEN, dataDir, log, admin, close }
  return { ...broker, connect: (name, fields) => connect(broker, name, fields) }
}

/** A JSON call; the answer's body parsed where it is JSON. */
export async function call(url: string, method: string, body?: unknown, token?: string): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json')
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
}

/** The id of a finished device session. */
export async function login(
  broker: Pick<Broker, 'origin' | 'sandbox'>,
  provider = 'sandbox',
): Promise<string> {
  const started = await call(`${broker.origin}/api/${provider}/oauth/device-code`, 'POST', {})
  await broker.sandbox.approve(started.body.user_code)
  await call(`${broker.origin}/api/${provider}/oauth/status?session_id=${started.body.session_id}`, 'GET')
  return started.body.session_id
}

async function connect(
  broker: Omit<Broker, 'connect'>,
  name = 'practice',
  fields: Record<string, unknown> = {},
): Promise<Connected> {
  const config = await broker.admin('POST', '/api/models/configs', {
    name,
    provider: 'sandbox',
    models: [{ model_id: 'sandbox-model' }, { model_id: 'sandbox-embedding' }],
    oauth_session_id: await login(broker),
    ...fields,
  })
  if (config.status !== 201) throw new Error(`config: ${JSON.stringify(config.body)}`)
  const key = await broker.admin('POST', '/api/keys', { name, model_config_ids: [config.body.id] })
  return { configId: config.body.id, key: key.body.key }
}
