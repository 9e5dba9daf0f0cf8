/**
 * The admin token: ADMIN_TOKEN, or one made at the first start and kept in DATA_DIR.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from '../base/folder.ts'
import { Secret } from '../base/secret.ts'
import type { Settings } from '../settings/settings.ts'

export function adminTokenFile(dataDir: string): string {
  return join(dataDir, 'admin-token')
}

export function readAdminToken(settings: Pick<Settings, 'adminToken' | 'dataDir'>): Secret {
  if (settings.adminToken) return settings.adminToken
  const file = adminTokenFile(settings.dataDir)
  makeFolder(settings.dataDir)
  if (!existsSync(file)) make(file)
  return new Secret(readFileSync(file, 'utf8').trim())
}

/** A link appears with its content or not at all, and once: of processes that start at once, all read the same. */
function make(file: string): void {
  const draft = `${file}.${randomUUID()}`
  writeFileSync(draft, randomBytes(32).toString('base64url'), { mode: 0o600, flag: 'wx', flush: true })
  try {
    linkSync(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft)
  }
}
