/**
 * The set of a gate: a strict sandbox in this process, a schema of its own, configs with logins of their own.
 */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createConnection } from 'mysql2/promise'
import { Secret } from '../../src/base/secret.ts'
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { createConfigAndKey, must } from '../support/broker.ts'
import { type MysqlServer, startMysql } from '../support/mysql-server.ts'
import { searchDataDir, searchRows } from '../support/secret-search.ts'
import { type Broker, COMPILED, ENCRYPTION_KEY, MAIN, SQLITE, startBroker } from './broker.ts'
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
  lab.teardown(() => server.stop())
  return server
}

export interface Schema {
  /** DATABASE_URL, without a proxy. */
  readonly url: string
  readonly rows: Rows
  /** For whole tables at once. */
  readonly database: Database
  /** Where SQLite's file is, for brokers to share; undefined where each has a folder of its own. */
  readonly dataDir?: string | undefined
}

/** On either database, for faults that have nothing to do with a server. */
export async function openSchemaOf(lab: Lab, kind: 'MySQL' | 'SQLite'): Promise<Schema> {
  if (kind === 'MySQL') return openSchema(lab, await sharedServer())
  const dataDir = mkdtempSync(join(lab.dir, 'sqlite-'))
  await createKey(dataDir, SQLITE)
  const database = openDatabase({ dataDir, mysqlUrl: undefined })
  lab.teardown(() => database.close())
  lab.teardown(() => searchDataDir(dataDir)) // before that, and when the brokers are gone
  return { url: SQLITE, rows: new Rows(database), database, dataDir }
}

/**
 * A schema with its tables. It holds a key already, so that brokers do not connect their own sandboxes, whose
 * credentials would be refreshed as well.
 */
export async function openSchema(lab: Lab, server: Pick<MysqlServer, 'url'>): Promise<Schema> {
  const name = `chaos_${randomBytes(6).toString('hex')}`
  const connection = await createConnection(server.url)
  await connection.query(`create database ${name}`)
  await connection.end()
  return openTables(lab, server.url + name)
}

/** The tables of a schema that is there. @param url perhaps with several hosts */
export async function openTables(lab: Lab, url: string): Promise<Schema> {
  await createKey(lab.dir, url)
  const database: Database = openDatabase({ dataDir: lab.dir, mysqlUrl: new Secret(url) })
  lab.teardown(() => database.close())
  lab.teardown(() => searchRows(database, lab.dir)) // before that, and when the brokers are gone
  return { url, rows: new Rows(database), database }
}

/** A command brings the tables up to date before it does its work. */
async function createKey(dataDir: string, url: string): Promise<void> {
  await runCommand(['keys', 'create', 'nobody'], { DATABASE_URL: url, DATA_DIR: dataDir })
}

/** As an operator calls it, beside brokers that run. @returns stdout @throws unless it ends with code 0 */
export async function runCommand(
  words: readonly string[],
  settings: Readonly<Record<string, string>>,
): Promise<string> {
  const env = {
    ...process.env,
    TOKEN_ENCRYPTION_KEY: ENCRYPTION_KEY,
    NODE_COMPILE_CACHE: COMPILED,
    ...settings,
  }
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...words], { env })
  return stdout
}

export async function openSandbox(lab: Lab, accessTokenSeconds = 7_200): Promise<Sandbox> {
  const sandbox = await startSandbox({ control: true, accessTokenSeconds })
  lab.teardown(() => sandbox.close())
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
  lab.teardown(() => upstream.close())
  const sandbox = await openSandbox(lab)
  const schema = await openSchema(lab, await sharedServer())
  const broker = await startBroker(lab, {
    databaseUrl: schema.url,
    sandbox: sandbox.origin,
    providers: { own: { credential: 'api_key', upstream: { base_url: `${upstream.origin}/v1` } } },
    nodeArgs,
  })
  const config = { name: 'own', provider: 'own', models: [{ model_id: model }], api_key: 'sk-own' }
  const { id } = await must(broker.admin('POST', '/api/models/configs', config))
  const createKey = async (fields: object = {}) => {
    const named = { name: 'own', model_config_ids: [id], ...fields }
    return (await must(broker.admin('POST', '/api/keys', named))).key
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

/** A config with a login of its own. */
export interface LoggedIn {
  readonly id: string
  readonly name: string
  readonly login: Login
}

export interface LoggedInWithKey extends LoggedIn {
  /** For this config alone. */
  readonly key: string
}

let made = 0

/** @param told what the broker is told of the login instead of the truth */
export async function connectWithoutKey(
  broker: Broker,
  sandbox: Sandbox,
  told: Partial<Login> = {},
): Promise<LoggedIn> {
  const login = await logIn(sandbox)
  const fields = fieldsOf({ ...login, ...told })
  const { id } = await must(broker.admin('POST', '/api/models/configs', fields))
  return { id, name: fields.name, login }
}

export async function connect(broker: Broker, sandbox: Sandbox): Promise<LoggedInWithKey> {
  const login = await logIn(sandbox)
  const fields = fieldsOf(login)
  const { configId, key } = await createConfigAndKey(broker, fields)
  return { id: configId, name: fields.name, login, key }
}

function fieldsOf(oauth_token: Login) {
  made += 1
  return { name: `chaos-${made}`, provider: 'chaos', models: [{ model_id: 'sandbox-model' }], oauth_token }
}
