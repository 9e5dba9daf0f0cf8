/**
 * The set of a gate: a strict sandbox in this process, a schema of its own, configs with logins of their own.
 */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { createConnection } from 'mysql2/promise'
import { Secret } from '../../src/base/secret.ts'
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { type MysqlServer, startMysql } from '../support/mysql-server.ts'
import { type Broker, COMPILED, ENCRYPTION_KEY, MAIN, startBroker } from './broker.ts'
import { noteLogin } from './grants.ts'
import type { Lab } from './lab.ts'
import { Rows } from './rows.ts'

export const NO_SERVER = 'no mariadbd or mysqld on this machine'
let shared: Promise<MysqlServer> | undefined

/** The server that gates share which do it no harm. */
export async function sharedServer(): Promise<MysqlServer> {
  shared ??= startServer()
  return shared
}

const servers = new Set<MysqlServer>()
process.on('exit', () => {
  for (const server of servers) server.process.kill('SIGKILL')
})

async function startServer(): Promise<MysqlServer> {
  const server = await startMysql()
  if (!server) throw new Error(NO_SERVER)
  servers.add(server)
  return server
}

export async function stopSharedServer(): Promise<void> {
  await (await shared)?.stop()
}

/** One to stop, kill and start again. */
export async function ownServer(lab: Lab): Promise<MysqlServer> {
  const server = await startServer()
  lab.atEnd(() => server.stop())
  return server
}

export interface Schema {
  /** DATABASE_URL, without a proxy. */
  readonly url: string
  readonly rows: Rows
}

/**
 * A schema with its tables. It holds a key already, so that brokers do not connect their own sandboxes, whose
 * credentials would be refreshed as well.
 */
export async function openSchema(lab: Lab, server: MysqlServer): Promise<Schema> {
  const name = `chaos_${randomBytes(6).toString('hex')}`
  const connection = await createConnection(server.url)
  await connection.query(`create database ${name}`)
  await connection.end()
  const url = server.url + name
  await createKey(lab, url)
  const database: Database = openDatabase({ dataDir: lab.dir, mysqlUrl: new Secret(url) })
  lab.atEnd(() => database.close())
  return { url, rows: new Rows(database) }
}

/** A command brings the tables up to date before it does its work. */
async function createKey(lab: Lab, url: string): Promise<void> {
  const env = {
    ...process.env,
    DATABASE_URL: url,
    DATA_DIR: lab.dir,
    TOKEN_ENCRYPTION_KEY: ENCRYPTION_KEY,
    NODE_COMPILE_CACHE: COMPILED,
  }
  await promisify(execFile)(process.execPath, [MAIN, 'keys', 'create', 'nobody'], { env })
}

export async function openSandbox(lab: Lab, accessTokenSeconds = 7_200): Promise<Sandbox> {
  const sandbox = await startSandbox({ control: true, accessTokenSeconds })
  lab.atEnd(() => sandbox.close())
  return sandbox
}

/** A model endpoint that a gate brings along. */
interface OwnUpstream {
  readonly origin: string
  close(): unknown
}

export interface Scene<Upstream> {
  readonly lab: Lab
  readonly broker: Broker
  readonly upstream: Upstream
  readonly sandbox: Sandbox
  readonly schema: Schema
  /** For the config whose upstream is the gate's own. */
  createKey(fields?: object): Promise<string>
}

/** One broker, with a config whose upstream is the gate's own and takes an API key. */
export async function openInFrontOf<Upstream extends OwnUpstream>(
  lab: Lab,
  startUpstream: () => Promise<Upstream>,
  { model, nodeArgs = [] }: { readonly model: string; readonly nodeArgs?: readonly string[] },
): Promise<Scene<Upstream>> {
  const upstream = await startUpstream()
  lab.atEnd(() => upstream.close())
  const sandbox = await openSandbox(lab)
  const schema = await openSchema(lab, await sharedServer())
  const broker = await startBroker(lab, {
    databaseUrl: schema.url,
    sandbox: sandbox.origin,
    providers: { own: { credential: 'api_key', upstream: { base_url: `${upstream.origin}/v1` } } },
    nodeArgs,
  })
  const config = { name: 'own', provider: 'own', models: [{ model_id: model }], api_key: 'sk-own' }
  const { id } = await must(broker.admin('POST', 'models/configs', config))
  const createKey = async (fields: object = {}) => {
    const named = { name: 'own', model_config_ids: [id], ...fields }
    const { key } = await must(broker.admin('POST', 'keys', named))
    return String(key)
  }
  return { lab, broker, upstream, sandbox, schema, createKey }
}

/** As `oauth_token` of a config takes it. */
export interface Login {
  readonly access_token: string
  readonly refresh_token: string
  /** Epoch ms. */
  readonly expires_at: number
}

/** The device flow, straight to the sandbox: a broker allows ten a minute. */
export async function logIn(sandbox: Sandbox): Promise<Login> {
  const client_id = 'token-broker-sandbox'
  const code_verifier = randomBytes(32).toString('base64url')
  const code_challenge = createHash('sha256').update(code_verifier).digest('base64url')
  const started = await postForm(`${sandbox.origin}/oauth/device/code`, {
    ...{ client_id, code_challenge, code_challenge_method: 'S256', scope: 'openid model.completion' },
  })
  await sandbox.approve(String(started['user_code']))
  const tokens = await postForm(`${sandbox.origin}/oauth/token`, {
    ...{ client_id, code_verifier, device_code: String(started['device_code']) },
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
  })
  const refresh_token = String(tokens['refresh_token'])
  noteLogin(refresh_token)
  const expires_at = Date.now() + Number(tokens['expires_in']) * 1000
  return { access_token: String(tokens['access_token']), refresh_token, expires_at }
}

async function postForm(url: string, form: Record<string, string>): Promise<Record<string, unknown>> {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(form) })
  const answer = (await response.json()) as Record<string, unknown>
  if (!response.ok) throw new Error(`${url}: ${response.status} ${JSON.stringify(answer)}`)
  return answer
}

export interface Connected {
  readonly id: string
  readonly name: string
  readonly login: Login
}

let connected = 0

/** A config with a fresh login. @param told what the broker is told of it instead of the truth */
export async function connectWithoutKey(
  broker: Broker,
  sandbox: Sandbox,
  told: Partial<Login> = {},
): Promise<Connected> {
  connected += 1
  const name = `chaos-${connected}`
  const login = await logIn(sandbox)
  const config = await must(
    broker.admin('POST', 'models/configs', {
      ...{ name, provider: 'chaos', models: [{ model_id: 'sandbox-model' }] },
      oauth_token: { ...login, ...told },
    }),
  )
  return { id: String(config['id']), name, login }
}

/** A config with a fresh login, and a broker key for it alone. */
export async function connect(
  broker: Broker,
  sandbox: Sandbox,
): Promise<Connected & { readonly key: string }> {
  const config = await connectWithoutKey(broker, sandbox)
  const fields = { name: config.name, model_config_ids: [config.id] }
  const { key } = await must(broker.admin('POST', 'keys', fields))
  return { ...config, key: String(key) }
}

export type ConnectedWithKey = Awaited<ReturnType<typeof connect>>

/** The answer's body, if it is a good one. */
export async function must(call: ReturnType<Broker['admin']>): Promise<Readonly<Record<string, unknown>>> {
  const { status, body } = await call
  if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body
}
