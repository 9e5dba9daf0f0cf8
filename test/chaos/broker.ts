/**
 * A broker with two stretches of network that can be disturbed, one to the database and one to the authorization
 * server, and perhaps with a clock that is wrong.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Agent, request } from 'undici'
import { type Answer, answerOf, headersOf } from '../support/broker.ts'
import { BrokerProcess } from '../support/broker-process.ts'
import { freePort } from '../support/free-port.ts'
import { watch, watchCall } from '../support/secret-search.ts'
import { Grants } from './grants.ts'
import type { Lab } from './lab.ts'
import { TcpProxy } from './tcp-proxy.ts'

/** Whose `src` the brokers run: this project's, or a copy with something broken on purpose. */
const BROKER_ROOT = process.env['BROKER_ROOT'] ?? fileURLToPath(new URL('../..', import.meta.url))
export const MAIN = join(BROKER_ROOT, 'src/cli/main.ts')
/** What Node has compiled, for the next broker to start faster. */
export const COMPILED = join(tmpdir(), 'token-broker-chaos-compiled')
const PRELOAD = fileURLToPath(new URL('./fixtures/preload.ts', import.meta.url))
/** A Fernet key of this suite's own, so that it can read journals. */
export const ENCRYPTION_KEY = 'Y2hhb3MtY2hhb3MtY2hhb3MtY2hhb3MtY2hhb3MtMTI='
export const SQLITE = 'sqlite:'
const CALL_MS = 30_000
const LOOKS_EVERY_MS = 1_000
const CONNECTIONS = 4_096
/** As the kernel's table of sockets has it: the other side is gone. */
const CLOSE_WAIT = '08'

export interface BrokerOptions {
  /** DATABASE_URL, without the proxy; `sqlite:` has none. */
  readonly databaseUrl: string
  /** One that is there already; else the broker has its own. */
  readonly dataDir?: string | undefined
  /** Where the strict sandbox is, also without the proxy. */
  readonly sandbox: string
  readonly clockShiftMs?: number
  /** Further providers by name, as in a provider file. */
  readonly providers?: Readonly<Record<string, object>>
  readonly nodeArgs?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Resolves when it is ready. */
export async function startBroker(lab: Lab, options: BrokerOptions): Promise<Broker> {
  const isFile = options.databaseUrl === SQLITE
  const database = await TcpProxy.to(isFile ? options.sandbox : options.databaseUrl)
  const grants = new Grants(await TcpProxy.to(options.sandbox))
  const dir = mkdtempSync(join(lab.dir, 'broker-'))
  const broker = new Broker(options, { database, grants, dir, port: await freePort() })
  lab.teardown(() => broker.end())
  await broker.start()
  return broker
}

interface BrokerParts {
  readonly database: TcpProxy
  readonly grants: Grants
  readonly dir: string
  readonly port: number
}

export class Broker extends BrokerProcess {
  readonly database: TcpProxy
  /** What it sent to the authorization server. */
  readonly grants: Grants
  readonly #heapFile: string
  readonly #agent = new Agent({ connections: CONNECTIONS, pipelining: 1, headersTimeout: CALL_MS })

  constructor(options: BrokerOptions, { database, grants, dir, port }: BrokerParts) {
    const { databaseUrl, dataDir, sandbox, clockShiftMs = 0, nodeArgs = [] } = options
    const heapFile = join(dir, 'heap')
    const env = {
      DATABASE_URL: databaseUrl === SQLITE ? SQLITE : database.via(databaseUrl),
      TOKEN_ENCRYPTION_KEY: ENCRYPTION_KEY,
      LOG_LEVEL: 'warn',
      NODE_COMPILE_CACHE: COMPILED,
      CHAOS_CLOCK_SHIFT_MS: String(clockShiftMs),
      CHAOS_HEAP_FILE: heapFile,
      ...(dataDir !== undefined && { DATA_DIR: dataDir }),
      ...options.env,
    }
    const providers = { chaos: chaosProvider(sandbox, grants), ...options.providers }
    super({ env, providers, main: MAIN, nodeArgs: [...nodeArgs, '--import', PRELOAD], dir }, port)
    this.database = database
    this.grants = grants
    this.#heapFile = heapFile
  }

  /** Resolves once it has heard of whatever changed in the database: it looks once a second, asked or not. */
  async hears(): Promise<void> {
    for (let tries = 0; tries < 2; tries += 1) {
      if (tries > 0) await sleep(LOOKS_EVERY_MS)
      await this.isReady()
    }
  }

  /** For callers by the thousand, none of whom waits for more than 30 s. */
  override async call(method: string, path: string, body?: unknown, bearer?: string): Promise<Answer> {
    const url = new URL(this.origin + path)
    watchCall(url, method, body, bearer)
    const answer = await request(url, {
      dispatcher: this.#agent,
      method,
      headers: headersOf(body, bearer),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const headers = Object.entries(answer.headers).map(([name, value]): [string, string] => [
      name,
      `${value}`,
    ])
    return answerOf({ method, url }, answer.statusCode, new Headers(headers), await answer.body.text())
  }

  /** Open file descriptors. */
  descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length
  }

  /** Clients who have left and whose connections it still holds, or has not even taken on. */
  clientsNotLetGo(): number {
    const port = Number(new URL(this.origin).port).toString(16).toUpperCase().padStart(4, '0')
    const left = new RegExp(`^ *\\d+: \\w+:${port} \\w+:\\w{4} ${CLOSE_WAIT} `, 'gm')
    return ['tcp', 'tcp6'].flatMap((kind) => readText(`/proc/net/${kind}`).match(left) ?? []).length
  }

  /** Bytes in use after garbage collection, objects and buffers; needs `--expose-gc` among its node arguments. */
  async memoryInUse(): Promise<number> {
    rmSync(this.#heapFile, { force: true })
    this.signal('SIGUSR2')
    for (;;) {
      await sleep(20)
      const bytes = Number(readText(this.#heapFile))
      if (bytes > 0) return bytes
    }
  }

  /** Forgets kept-alive connections to it. */
  override async end(): Promise<void> {
    await this.kill()
    await this.#agent.destroy()
    await this.database.close()
    await this.grants.proxy.close()
    for (const { sent, issued } of this.grants.sent) {
      watch('refresh token', sent)
      watch('refresh token', issued)
    }
    await super.end()
  }
}

function chaosProvider(sandbox: string, { proxy }: Grants): object {
  const server = proxy.via(sandbox)
  return {
    label: 'Chaos',
    credential: 'device_code',
    authorization_server: {
      device_authorization_endpoint: new URL('/oauth/device/code', server).href,
      token_endpoint: new URL('/oauth/token', server).href,
      client_id: 'token-broker-sandbox',
      scope: 'openid model.completion',
      pkce: true,
    },
    upstream: { base_url: `${sandbox}/v1` },
    refresh: { before_seconds: 300, wait_seconds: 2, timeout_seconds: 10 },
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
