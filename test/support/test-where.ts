/**
 * Tests that need more than this checkout: skipped, by name, on a machine without it, and a failure where CI=true.
 */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'

/** The usual search path with root's commands, where Debian keeps servers. */
export const PATH = [process.env['PATH'], '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter)

/** Where a command is, undefined where there is none. */
export function findCommand(name: string): string | undefined {
  return PATH.split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file))
}

/** Says which of the commands the machine has not; undefined if it has all. */
export function whatIsMissing(...names: string[]): string | undefined {
  const absent = names.find((name) => findCommand(name) === undefined)
  return absent && `${absent} is not installed`
}

/** `t.test(name, body)` if nothing is missing. @param timeoutMs of this test, if it takes long */
export function testWhere(
  t: Pick<Test, 'test'>,
  { name, missing, timeoutMs }: { name: string; missing: string | undefined; timeoutMs?: number },
  body: (t: Test) => unknown,
): void {
  if (missing !== undefined && process.env['CI'] === 'true') t.test(name, async (t) => t.fail(missing))
  else
    t.test(name, { skip: missing ?? false, ...(timeoutMs && { timeout: timeoutMs }) }, async (t) => body(t))
}
