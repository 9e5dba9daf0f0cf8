/**
 * A broker as a user starts it: a process of its own, with a port, a DATA_DIR and an environment of its own. What it
 * says goes into a file, so that nobody who measures it has to read along.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { Environment } from '../../src/base/environment.ts'
import { ADMIN_TOKEN, type Answer, call } from './broker.ts'
import { MAIN } from './desk.ts'
import { freePort } from './free-port.ts'
import { searchAnswersOf, searchDataDir, searchLog, watch } from './secret-search.ts'
import { waitUntil } from './wait-until.ts'

/** What `npm run build` makes of these sources. */
export const BUILT = fileURLToPath(new URL('../../dist/server/main.js', import.meta.url))
/** Two workers took 160 s where a third of a hundred other processes wanted the same two cores. */
const READY_MS = 300_000
const POLL_MS = 5
/** What it still has to answer may take for ever. */
const STOP_MS = 10_000

export interface ProcessOptions {
  /** Over PORT, DATA_DIR, ADMIN_TOKEN and CONFIG_FILE, which it has at any rate; nothing comes from this process. */
  readonly env?: Environment
  /** Of CONFIG_FILE, by name. */
  readonly providers?: Readonly<Record<string, object>>
  /** What Node runs; default these sources. */
  readonly main?: string
  readonly nodeArgs?: readonly string[]
  /** How many files it may have open. */
  readonly descriptors?: number
  /** For its files; default a fresh one, gone at its end. */
  readonly dir?: string
}

/** Resolves when it is ready. */
export async function startProcess(
  t: Pick<Test, 'teardown'>,
  options: ProcessOptions = {},
): Promise<BrokerProcess> {
  const broker = new BrokerProcess(options, await freePort())
  t.teardown(() => broker.end())
  await broker.start()
  return broker
}

const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export class BrokerProcess {
  readonly origin: string
  readonly dataDir: string
  /** From the last start to the first good answer of `/health/ready`. */
  readyMs = Number.NaN
  readonly #options: ProcessOptions
  readonly #dir: string
  readonly #logFile: string
  #env: Environment
  #child: ChildProcess | undefined
  #isEnded = false

  constructor(options: ProcessOptions, port: number) {
    this.origin = `http://127.0.0.1:${port}`
    this.#options = options
    this.#dir = options.dir ?? mkdtempSync(join(tmpdir(), 'token-broker-process-'))
    this.#logFile = join(this.#dir, 'broker.log')
    this.dataDir = options.env?.['DATA_DIR'] ?? join(this.#dir, 'data')
    const CONFIG_FILE = join(this.#dir, 'config.yaml') // JSON is YAML
    const providers = options.providers ?? {}
    writeFileSync(this.#logFile, '')
    writeFileSync(CONFIG_FILE, JSON.stringify({ allow_insecure_loopback: true, providers }))
    this.#env = {
      PATH: process.env['PATH'],
      HOME: this.#dir,
      DATA_DIR: this.dataDir,
      PORT: String(port),
      ADMIN_TOKEN,
      CONFIG_FILE,
      ...options.env,
    }
    searchAnswersOf(this.origin)
    for (const name of ['ADMIN_TOKEN', 'TOKEN_ENCRYPTION_KEY']) watch(name, this.#env[name])
  }

  /** As long as it runs. */
  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** Its whole environment, for commands beside it. */
  get env(): Environment {
    return this.#env
  }

  /** The first time and after each end, on the same port and DATA_DIR. @param settings that are others from now on */
  async start(settings: Environment = {}): Promise<void> {
    this.#env = { ...this.#env, ...settings }
    const startedAt = performance.now()
    const child = this.#spawn()
    this.#child = child
    children.add(child)
    child.once('exit', () => children.delete(child))
    while (!(await this.isReady())) {
      const isLate = performance.now() - startedAt > READY_MS
      if (isLate || isGone(child)) throw new Error(`a broker did not start: ${this.log()}`)
      await sleep(POLL_MS)
    }
    this.readyMs = performance.now() - startedAt
  }

  #spawn(): ChildProcess {
    const { main = MAIN, nodeArgs = [], descriptors } = this.#options
    const command = [process.execPath, ...nodeArgs, main, 'serve']
    const limited = ['sh', '-c', `ulimit -n ${descriptors} && exec "$0" "$@"`, ...command]
    const [file = '', ...args] = descriptors === undefined ? command : limited
    const log = openSync(this.#logFile, 'a')
    const child = spawn(file, args, { stdio: ['ignore', log, log], env: this.#env, cwd: this.#dir })
    closeSync(log)
    return child
  }

  async isReady(): Promise<boolean> {
    const answer = await this.call('GET', '/health/ready').catch(() => undefined)
    return answer?.status === 200
  }

  /** kill -9. Resolves when it is gone. */
  async kill(): Promise<void> {
    await this.terminate('SIGKILL')
  }

  /**
   * As an orchestrator ends it, or with SIGINT, as a person does: that one waits for no balancer.
   * @returns its exit code, once it is gone
   */
  async terminate(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    const child = this.#child
    if (!child || isGone(child)) return child?.exitCode ?? null
    const gone = once(child, 'exit')
    child.kill(signal)
    const [code] = (await gone) as [number | null]
    return code
  }

  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGUSR2' | 'SIGTERM'): void {
    process.kill(this.pid, name)
  }

  /** What it said, over all its starts. */
  log(): string {
    return readFileSync(this.#logFile, 'utf8')
  }

  /** What a line of its log says, once it is there. @param wanted with one group */
  async untilSaid(wanted: RegExp): Promise<string> {
    await waitUntil(() => wanted.test(this.log()))
    return wanted.exec(this.log())?.[1] ?? ''
  }

  /** The key that a first start prints once its sandbox is connected. */
  practiceKey(): Promise<string> {
    return this.untilSaid(/Broker key +(sk-tb-[\w-]{43})/)
  }

  /** With the admin token. */
  readonly admin = (method: string, path: string, body?: unknown): Promise<Answer> =>
    this.call(method, path, body, ADMIN_TOKEN)

  /** A completion with a broker key; rejects only if the broker does not answer at all. */
  complete(key: string, model = 'sandbox-model'): Promise<Answer> {
    const body = { model, messages: [{ role: 'user', content: 'hi' }] }
    return this.call('POST', '/v1/chat/completions', body, key)
  }

  call(method: string, path: string, body?: unknown, bearer?: string): Promise<Answer> {
    return call(this.origin + path, method, body, bearer)
  }

  /** For good. @throws LeakError if its log shows a secret, or a DATA_DIR that is its own */
  async end(): Promise<void> {
    const impatient = setTimeout(() => void this.kill(), STOP_MS)
    await this.terminate('SIGINT') // what it logs is written half a second late
    clearTimeout(impatient)
    if (this.#isEnded) return
    this.#isEnded = true
    try {
      searchLog(this.#logFile)
      if (this.dataDir.startsWith(this.#dir)) searchDataDir(this.dataDir)
    } finally {
      // Its workers end a little later.
      const patiently = { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }
      if (this.#options.dir === undefined) rmSync(this.#dir, patiently)
    }
  }
}

function isGone({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}
