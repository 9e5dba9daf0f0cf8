/**
 * A MariaDB or MySQL server of our own: a fresh data directory, a free port, nothing shared with the machine's.
 */
import { type ChildProcess, type ExecFileSyncOptions, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import { freePort } from './free-port.ts'

export interface MysqlServer {
  /** Without a database name at its end. */
  readonly url: string
  /** The one that runs now, or ran last. */
  readonly process: ChildProcess
  /** At once and without a farewell, also while it is stopped by a signal. Resolves when it is gone. */
  kill(): Promise<void>
  /** After a kill: on the same data and port. Resolves when it answers. @param timeZone another one from now on */
  restart(timeZone?: string): Promise<void>
  /** For good; removes its data. */
  stop(): Promise<void>
}

const START_TIMEOUT_MS = 300_000

/** Undefined if the machine has neither `mariadbd` nor `mysqld`. @param settings further flags of the server, `timeZone` as TZ has it */
export async function startMysql(
  settings: readonly string[] = [],
  timeZone?: string,
): Promise<MysqlServer | undefined> {
  const binary = ['mariadbd', 'mysqld'].map(whereIs).find((path) => path !== undefined)
  if (!binary) return undefined
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-mysql-'))
  initialize(binary, dir)
  const port = await freePort()
  const flags = [
    '--no-defaults',
    `--datadir=${dir}/data`,
    `--socket=${dir}/socket`,
    `--pid-file=${dir}/pid`,
    `--tmpdir=${dir}`, // see initialize
    '--bind-address=127.0.0.1',
    `--port=${port}`,
    '--innodb-flush-log-at-trx-commit=2',
    '--max-connections=500',
    ...asRoot(),
    ...settings,
  ]
  const url = `mysql://root@127.0.0.1:${port}/`
  let env = { ...process.env, ...(timeZone !== undefined && { TZ: timeZone }) }
  let child = spawn(binary, flags, { stdio: 'ignore', env })
  await answers(url)
  return {
    url,
    get process() {
      return child
    },
    kill: () => end(child),
    async restart(newZone) {
      if (newZone !== undefined) env = { ...env, TZ: newZone }
      // While nobody listened, somebody's outgoing connection may have been given the port.
      await answers(url, () => {
        if (isGone(child)) child = spawn(binary, flags, { stdio: 'ignore', env })
      })
    },
    async stop() {
      await end(child)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export async function end(child: ChildProcess): Promise<void> {
  if (isGone(child)) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGCONT')
  child.kill('SIGKILL')
  await gone
}

function isGone({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

/** In a temporary folder of its own, for each server that starts removes the temporary tables it finds: those of others, too. */
export function initialize(binary: string, dir: string): void {
  const options: ExecFileSyncOptions = {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, TMPDIR: dir },
  }
  const install = whereIs('mariadb-install-db')
  if (binary.endsWith('mariadbd') && install) {
    const flags = [
      `--datadir=${dir}/data`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      ...asRoot(),
    ]
    execFileSync(install, ['--no-defaults', ...flags], options)
    return
  }
  const flags = ['--initialize-insecure', `--datadir=${dir}/data`, ...asRoot()]
  execFileSync(binary, ['--no-defaults', ...flags], options)
}

/** Both servers refuse to run as root unless told so. */
export function asRoot(): string[] {
  return process.getuid?.() === 0 ? ['--user=root'] : []
}

function whereIs(name: string): string | undefined {
  try {
    const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/usr/local/sbin:/usr/libexec` }
    return execFileSync('sh', ['-c', `command -v ${name}`], { env, encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}

async function answers(url: string, beforeEachTry = () => {}): Promise<void> {
  const giveUpAt = Date.now() + START_TIMEOUT_MS
  for (;;) {
    beforeEachTry()
    try {
      const connection = await createConnection(url)
      await connection.end()
      return
    } catch (error) {
      if (Date.now() > giveUpAt) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
