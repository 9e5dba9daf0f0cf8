/**
 * Commands as processes of their own, in a home and a data folder of their own.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { Environment } from '../../src/base/environment.ts'
import { searchCommand, searchDataDir, watch } from './secret-search.ts'

export const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Desk {
  readonly home: string
  readonly env: Environment & { readonly DATA_DIR: string }
  /**
   * @param input what comes in on standard input; null: it stays open, and `onOutput` types
   * @param onOutput told all that came out so far, each time there is more
   */
  run(
    args: readonly string[],
    input?: string | null,
    env?: Environment,
    onOutput?: (out: string, type: (text: string) => void) => void,
  ): Promise<Ran>
}

/** @param config content of CONFIG_FILE */
export function sitDown(t: Test, config = ''): Desk {
  const home = mkdtempSync(join(tmpdir(), 'token-broker-desk-'))
  const file = join(home, 'config.yaml')
  writeFileSync(file, config)
  const env = { PATH: process.env['PATH'], HOME: home, DATA_DIR: join(home, 'data'), CONFIG_FILE: file }
  t.teardown(() => {
    searchDataDir(env.DATA_DIR)
    rmSync(home, { recursive: true, force: true })
  })
  const run: Desk['run'] = (args, input = '', more = {}, onOutput = undefined) =>
    new Promise((resolve, reject) => {
      watch('input', input?.trim())
      const child = spawn(process.execPath, [MAIN, ...args], { env: { ...env, ...more } })
      let [out, err] = ['', '']
      child.stdout.on('data', (chunk) => {
        out += chunk
        onOutput?.(out, (text) => child.stdin.write(text))
      })
      child.stderr.on('data', (chunk) => (err += chunk))
      child.stdin.on('error', () => {}) // a command that needs no input may be gone already
      if (input !== null) child.stdin.end(input)
      child.on('close', (code) => {
        try {
          searchCommand(args, out + err)
          resolve({ code, out, err })
        } catch (error) {
          reject(error)
        }
      })
    })
  return { home, env, run }
}
