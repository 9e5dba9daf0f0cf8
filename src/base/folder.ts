/**
 * Folders that are made when they are needed.
 */
import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { ConfigError, type StartWarning } from './environment.ts'

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

/** For its owner only, where the owner is us; what others own is theirs to open. Nothing is done where it is missing. */
export function keepPrivate(path: string, mode: 0o600 | 0o700): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found && (found.mode & 0o077) !== 0 && found.uid === process.getuid?.()) chmodSync(path, mode)
}

/** @throws ConfigError if nothing can be written there */
export function makeDataDir(dataDir: string): void {
  const probe = join(dataDir, `.${randomUUID()}`)
  try {
    makeFolder(dataDir)
    keepPrivate(dataDir, 0o700)
    writeFileSync(probe, '', { mode: 0o600, flag: 'wx' })
    rmSync(probe)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError(`DATA_DIR must be a folder that the broker can write to (${code})`)
  }
}

const MAX_NAMED = 3
/** At the root of a file system; nobody's secret. */
const OF_THE_SYSTEM = 'lost+found'

/**
 * Closes what is in it to others, also what was there before; what is another user's is theirs, and named.
 * Links are left alone: what they lead to is not in here.
 */
export function closeDataDir(dataDir: string): StartWarning[] {
  const theirs = closedBelow(dataDir)
  if (theirs.length === 0) return []
  const names = theirs
    .slice(0, MAX_NAMED)
    .map((path) => path.slice(dataDir.length + 1) || 'the folder itself')
  const more = theirs.length > MAX_NAMED ? ` and ${theirs.length - MAX_NAMED} more` : ''
  const message = `another user owns what is there and can read or change it: ${names.join(', ')}${more}`
  return [{ setting: 'DATA_DIR', message }]
}

/** @returns the paths that are another user's. A file that has gone meanwhile is nobody's. */
function closedBelow(path: string): string[] {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined || found.isSymbolicLink() || process.getuid === undefined) return []
  const isOurs = found.uid === process.getuid()
  if (!found.isDirectory()) {
    keepPrivate(path, 0o600)
    return isOurs ? [] : [path]
  }
  keepPrivate(path, 0o700)
  const inside = isOurs ? readdirSync(path).filter((name) => name !== OF_THE_SYSTEM) : []
  return [...(isOurs ? [] : [path]), ...inside.flatMap((name) => closedBelow(join(path, name)))]
}
