/**
 * Runs what a package puts into `node_modules/.bin`.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const MODULES = fileURLToPath(new URL('../../node_modules/', import.meta.url))

/** The test runner puts hooks into every Node process, in which a compiler does not start: a shell takes them out. */
const WITHOUT_HOOKS = 'unset NODE_OPTIONS; exec "$0" "$@"'

/** In the project's directory. @returns its output @throws with `code` and `stdout` if it fails */
export async function runScript(name: string, words: readonly string[]): Promise<string> {
  const command = [process.execPath, join(MODULES, '.bin', name), ...words]
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', WITHOUT_HOOKS, ...command], {
    cwd: join(MODULES, '..'),
    maxBuffer: 16 * 1024 * 1024,
  })
  return stdout
}
