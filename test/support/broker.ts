/**
 * A whole broker in this process: real HTTP on a free port, a real database, the sandbox at the far end.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Environment } from '../../src/base/environment.ts'
import { createLog } from '../../src/base/log.ts'
import { Secret } from '../../src/base/secret.ts'
import { type Broker as RunningBroker, startBroker as start } from '../../src/broker.ts'
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/sandbox.ts'
import { loadConfig } from '../../src/settings/config.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { DescribedAnswers } from './described-answers.ts'
import {
  isBroker,
  lookBeforeEnd,
  searchAnswer,
  searchAnswersOf,
  searchWhatIsLeft,
  watch,
  watchCall,
  watchConfig,
} from './secret-search.ts'

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

/** What all of them say of their answers. */
let described: DescribedAnswers | undefined

export async function startBroker(t: Pick<Test, 'teardown'>, options: BrokerOptions = {}): Promise<Broker> {
  const dataDir = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
  const sandbox =
    options.shared ?? (await startSandbox({ control: true, onSecret: watch, ...options.sandbox }))
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
  watchConfig(config)
  const adminToken = env['ADMIN_TOKEN'] ?? ADMIN_TOKEN
  watch('admin token', adminToken)
  const destination = { write: (line: string) => void log.push(line) }
  const app = await start(config, new Secret(adminToken), createLog('trace', destination))
  const origin = app.address
  searchAnswersOf(origin)
  described ??= await readDescription(origin)

  let isClosed = false
  const close = async () => {
    if (isClosed) return
    isClosed = true
    const findings = await lookBeforeEnd(origin, config.dataDir, adminToken)
    await app.close(0)
    if (!options.shared) await sandbox.close()
    try {
      await searchWhatIsLeft(config, log, findings)
    } finally {
      rmSync(dataDir, { recursive: true, force: true })
    }
  }
  t.teardown(close)
  const admin = (method: string, path: string, body?: unknown) =>
    call(origin + path, method, body, adminToken)
  const broker = { origin, app, sandbox, adminToken, dataDir, log, admin, close }
  return { ...broker, connect: (name, fields) => connect(broker, name, fields) }
}

async function readDescription(origin: string): Promise<DescribedAnswers> {
  const answer = await fetch(`${origin}/openapi.json`, { headers: { connection: 'close' } })
  return new DescribedAnswers((await answer.json()) as ConstructorParameters<typeof DescribedAnswers>[0])
}

/**
 * A JSON call; the answer's body parsed where it is JSON. A broker's is searched for secrets, and compared with what its
 * description says.
 */
export async function call(url: string, method: string, body?: unknown, token?: string): Promise<Answer> {
  const asked = new URL(url)
  watchCall(asked, method, body, token)
  const response = await fetch(url, {
    method,
    headers: headersOf(body, token),
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  return answerOf({ method, url: asked }, response.status, response.headers, await response.text())
}

/** Of a JSON call. */
export function headersOf(body: unknown, token: string | undefined): Record<string, string> {
  return {
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(body !== undefined && { 'content-type': 'application/json' }),
  }
}

/** @throws LeakError if it is a broker's and shows a secret */
export function answerOf(
  { method, url }: { readonly method: string; readonly url: URL },
  status: number,
  headers: Headers,
  text: string,
): Answer {
  searchAnswer(url, headers, text)
  const isJson = headers.get('content-type')?.includes('json')
  const answer = { status, headers, body: isJson ? JSON.parse(text) : text }
  if (isBroker(url)) described?.check(method, url.pathname, answer)
  return answer
}

/** The body of a good answer. @throws Error with the whole of any other */
export async function must(calling: Promise<Answer>): Promise<Answer['body']> {
  const { status, body } = await calling
  if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body
}

/** A config, and a key for it alone. */
export async function createConfigAndKey(
  { admin }: Pick<Broker, 'admin'>,
  config: { readonly name: string; readonly [field: string]: unknown },
): Promise<Connected> {
  const { id } = await must(admin('POST', '/api/models/configs', config))
  const { key } = await must(admin('POST', '/api/keys', { name: config.name, model_config_ids: [id] }))
  return { configId: id, key }
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
  return createConfigAndKey(broker, {
    name,
    provider: 'sandbox',
    models: [{ model_id: 'sandbox-model' }, { model_id: 'sandbox-embedding' }],
    oauth_session_id: await login(broker),
    ...fields,
  })
}
