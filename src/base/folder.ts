/**
 * Folders that are made when they are needed.
 */
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ConfigError } from './settings.ts'

/**
 * With its parents, for its owner only. Node's `recursive` never returns where a folder is there and refuses
 * another with ENOENT, as /proc does.
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' || existsSync(dirname(path))) throw error
    makeFolder(dirname(path))
    makeFolder(path)
  }
}

/** @throws ConfigError if nothing can be written there */
export function makeDataDir(dataDir: string): void {
  const probe = join(dataDir, `.${randomUUID()}`)
  try {
    makeFolder(dataDir)
    writeFileSync(probe, '', { mode: 0o600, flag: 'wx' })
    rmSync(probe)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError(`DATA_DIR must be a folder that the broker can write to (${code})`)
  }
}
