/**
 * The admin token: ADMIN_TOKEN, or one made at the first start and kept in DATA_DIR.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Secret } from '../base/secret.ts'
import type { Settings } from '../base/settings.ts'

export function adminTokenFile(dataDir: string): string {
  return join(dataDir, 'admin-token')
}

export function readAdminToken(settings: Pick<Settings, 'adminToken' | 'dataDir'>): Secret {
  if (settings.adminToken) return settings.adminToken
  const file = adminTokenFile(settings.dataDir)
  mkdirSync(settings.dataDir, { recursive: true, mode: 0o700 })
  try {
    // `wx`: of two processes that start at once, one writes and the other reads.
    writeFileSync(file, randomBytes(32).toString('base64url'), { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return new Secret(readFileSync(file, 'utf8').trim())
}
