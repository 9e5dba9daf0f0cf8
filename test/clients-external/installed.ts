/**
 * Programs of others in temporary folders, gone at the end: nothing of them is the project's.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Environment } from '../../src/base/environment.ts'

/** Something that this machine cannot have; the message says why. */
export class NotToBeHad extends Error {}

export function makeHome(t: Pick<Test, 'teardown'>): string {
  const home = mkdtempSync(join(tmpdir(), 'token-broker-client-'))
  t.teardown(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  return home
}

/** @returns the version of the first @throws NotToBeHad */
export async function installPackages(home: string, packages: readonly string[]): Promise<string> {
  writeFileSync(join(home, 'package.json'), '{"private":true}')
  await fetchBy(home, ['npm', 'install', '--no-audit', '--no-fund', '--loglevel=error', ...packages])
  const name = (packages[0] ?? '').replace(/(?<=.)@[^/]*$/, '')
  return JSON.parse(readFileSync(join(home, 'node_modules', name, 'package.json'), 'utf8')).version
}

/** With the settings of whoever runs it. @throws NotToBeHad with the first line of what the command said */
export async function fetchBy(home: string, command: readonly string[]): Promise<void> {
  const { code, output } = await run(home, command, process.env).catch((error) => ({
    code: null,
    output: String(error),
  }))
  if (code !== 0) throw new NotToBeHad(`${command.slice(0, 2).join(' ')}: ${output.trim().split('\n')[0]}`)
}

/** For a client: of our environment the search path, and its folder for its home. */
export function runClient(home: string, command: readonly string[], env: Environment): Promise<Ran> {
  return run(home, command, { PATH: process.env['PATH'], HOME: home, ...env })
}

export interface Ran {
  readonly code: number | null
  /** Of both streams. */
  readonly output: string
}

const PATIENCE_MS = 300_000

/** By their process groups: programs of others start more of them. */
const running = new Set<number>()
process.on('exit', () => running.forEach(end))

export function run(
  dir: string,
  [file = '', ...args]: readonly string[],
  env: Environment,
  patienceMs = PATIENCE_MS,
): Promise<Ran> {
  const { promise, resolve, reject } = Promise.withResolvers<Ran>()
  const child = spawn(file, args, { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const { pid = 0 } = child
  if (pid > 0) running.add(pid)
  const impatient = setTimeout(end, patienceMs, pid)
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (output += chunk))
  child.once('error', reject)
  child.once('close', (code) => {
    clearTimeout(impatient)
    end(pid)
    resolve({ code, output })
  })
  return promise
}

function end(pid: number): void {
  if (!running.delete(pid)) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // they are gone
  }
}
