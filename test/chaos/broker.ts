/**
 * A broker as a user starts it: a process of its own, a DATA_DIR of its own, and two stretches of network that can
 * be disturbed, one to the database and one to the authorization server.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Agent, request } from 'undici'
import { freePort } from '../support/free-port.ts'
import { Grants } from './grants.ts'
import type { Lab } from './lab.ts'
import { TcpProxy } from './tcp-proxy.ts'

/** Whose `src` the brokers run: this project's, or a copy with something broken on purpose. */
const BROKER_ROOT = process.env['BROKER_ROOT'] ?? fileURLToPath(new URL('../..', import.meta.url))
export const MAIN = join(BROKER_ROOT, 'src/cli/main.ts')
/** What Node has compiled, for the next broker to start faster. */
export const COMPILED = join(tmpdir(), 'token-broker-chaos-compiled')
const PRELOAD = fileURLToPath(new URL('./fixtures/preload.ts', import.meta.url))
export const ADMIN_TOKEN = 'admin-token-for-chaos-0123456789abcdef'
/** A Fernet key of this suite's own, so that it can read journals. */
export const ENCRYPTION_KEY = 'Y2hhb3MtY2hhb3MtY2hhb3MtY2hhb3MtY2hhb3MtMTI='
const READY_MS = 60_000
const CALL_MS = 30_000
const CONNECTIONS = 4_096

export interface BrokerOptions {
  /** DATABASE_URL, without the proxy. */
  readonly databaseUrl: string
  /** Where the strict sandbox is, also without the proxy. */
  readonly sandbox: string
  readonly clockShiftMs?: number
  /** Further providers by name, as in a provider file. */
  readonly providers?: Readonly<Record<string, object>>
  readonly nodeArgs?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface Answer {
  readonly status: number
  readonly ms: number
  readonly body: Readonly<Record<string, unknown>>
}

const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Resolves when it is ready. */
export async function startBroker(lab: Lab, options: BrokerOptions): Promise<Broker> {
  const database = await TcpProxy.to(options.databaseUrl)
  const grants = new Grants(await TcpProxy.to(options.sandbox))
  const broker = new Broker(lab, options, { database, grants, port: await freePort() })
  lab.atEnd(() => broker.end())
  await broker.start()
  return broker
}

interface BrokerParts {
  readonly database: TcpProxy
  readonly grants: Grants
  readonly port: number
}

export class Broker {
  readonly origin: string
  readonly dataDir: string
  readonly database: TcpProxy
  /** What it sent to the authorization server. */
  readonly grants: Grants
  readonly #options: BrokerOptions
  readonly #environment: Record<string, string | undefined>
  readonly #agent = new Agent({ connections: CONNECTIONS, pipelining: 1, headersTimeout: CALL_MS })
  #child: ChildProcess | undefined

  constructor(lab: Lab, options: BrokerOptions, { database, grants, port }: BrokerParts) {
    this.origin = `http://127.0.0.1:${port}`
    this.dataDir = mkdtempSync(join(lab.dir, 'broker-'))
    this.database = database
    this.grants = grants
    this.#options = options
    const configFile = join(this.dataDir, 'chaos.yaml') // JSON is YAML
    writeFileSync(configFile, JSON.stringify(this.#config()))
    const { NODE_ENV: _, ...surroundings } = process.env
    this.#environment = {
      ...surroundings,
      PORT: String(port),
      DATA_DIR: this.dataDir,
      DATABASE_URL: database.via(options.databaseUrl),
      CONFIG_FILE: configFile,
      ADMIN_TOKEN,
      TOKEN_ENCRYPTION_KEY: ENCRYPTION_KEY,
      LOG_LEVEL: 'warn',
      NODE_COMPILE_CACHE: COMPILED,
      CHAOS_CLOCK_SHIFT_MS: String(options.clockShiftMs ?? 0),
      CHAOS_HEAP_FILE: join(this.dataDir, 'heap'),
      ...options.env,
    }
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** After a kill: on the same port and DATA_DIR. Resolves when it is ready. */
  async start(): Promise<void> {
    const log = openSync(join(this.dataDir, 'broker.log'), 'a')
    const args = [...(this.#options.nodeArgs ?? []), '--import', PRELOAD, MAIN, 'serve']
    const child = spawn(process.execPath, args, { stdio: ['ignore', log, log], env: this.#environment })
    this.#child = child
    children.add(child)
    child.once('exit', () => children.delete(child))
    const giveUpAt = performance.now() + READY_MS
    while (!(await this.isReady())) {
      if (performance.now() > giveUpAt || child.exitCode !== null) {
        throw new Error(`a broker did not start: ${readFileSync(join(this.dataDir, 'broker.log'), 'utf8')}`)
      }
      await sleep(10)
    }
  }

  /** kill -9. Resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGUSR2'): void {
    process.kill(this.pid, name)
  }

  /** As a side effect it looks for changes in the database, and then forgets what it cached of them. */
  async isReady(): Promise<boolean> {
    const answer = await this.call('GET', '/health/ready').catch(() => undefined)
    return answer?.status === 200
  }

  admin(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object): Promise<Answer> {
    return this.call(method, `/api/${path}`, body, ADMIN_TOKEN)
  }

  /** A completion with a broker key; rejects only if the broker does not answer at all. */
  complete(key: string, model = 'sandbox-model'): Promise<Answer> {
    const body = { model, messages: [{ role: 'user', content: 'hi' }] }
    return this.call('POST', '/v1/chat/completions', body, key)
  }

  async call(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: object,
    bearer?: string,
  ): Promise<Answer> {
    const startedAt = performance.now()
    const { statusCode: status, body: answer } = await request(this.origin + path, {
      dispatcher: this.#agent,
      method,
      headers: {
        ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    const ms = performance.now() - startedAt
    return { status, ms, body: text.startsWith('{') ? (JSON.parse(text) as Answer['body']) : {} }
  }

  /** Open file descriptors. */
  descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length
  }

  /** Bytes in use after garbage collection, objects and buffers; needs `--expose-gc` among its node arguments. */
  async memoryInUse(): Promise<number> {
    const file = join(this.dataDir, 'heap')
    rmSync(file, { force: true })
    this.signal('SIGUSR2')
    for (;;) {
      await sleep(20)
      const bytes = Number(readText(file))
      if (bytes > 0) return bytes
    }
  }

  /** Forgets kept-alive connections to it. */
  async end(): Promise<void> {
    await this.kill()
    await this.#agent.destroy()
    await this.database.close()
    await this.grants.proxy.close()
  }

  #config(): object {
    const { sandbox, providers } = this.#options
    const server = this.grants.proxy.via(sandbox)
    const chaos = {
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
    return { allow_insecure_loopback: true, providers: { chaos, ...providers } }
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
