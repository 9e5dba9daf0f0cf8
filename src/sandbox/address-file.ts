/**
 * Where the sandbox of a running broker listens, for commands that work on the same directory.
 */
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const fileIn = (dataDir: string) => join(dataDir, 'sandbox-address')

export function writeSandboxOrigin(dataDir: string, origin: string): Promise<void> {
  return writeFile(fileIn(dataDir), origin, { mode: 0o600 })
}

/** Undefined if none was ever started here. */
export function readSandboxOrigin(dataDir: string): string | undefined {
  try {
    return readFileSync(fileIn(dataDir), 'utf8')
  } catch {
    return undefined
  }
}
