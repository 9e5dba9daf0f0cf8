/**
 * `status`, `token`, `logout`: one login on a JSON file, without a server.
 */
import { systemClock } from '../base/clock.ts'
import { readConfig } from '../base/config.ts'
import { mask } from '../base/secret.ts'
import { QwenTokenManager } from '../credential/qwen-token-manager.ts'
import { daysRemaining, readSessionToken } from '../oauth/session-token.ts'
import { type CommandLine, UsageError } from './command-line.ts'
import { answer } from './output.ts'

const DEFAULT_PROVIDER = 'qwen'

export function managerOf({ words, options }: CommandLine): QwenTokenManager {
  const name = words[0] ?? options.provider ?? DEFAULT_PROVIDER
  const { providers } = readConfig(process.env)
  const provider = providers.get(name)
  if (!provider) {
    throw new UsageError(`there is no provider ${name}; there are ${[...providers.keys()].sort().join(', ')}`)
  }
  return QwenTokenManager.getInstance(provider)
}

export async function status(line: CommandLine): Promise<void> {
  const manager = managerOf(line)
  const tokens = await manager.status()
  const now = systemClock()
  const claims = tokens && readSessionToken(tokens.accessToken)
  const facts = {
    provider: manager.provider.name,
    file: manager.persistence.file,
    logged_in: tokens !== undefined,
    ...(tokens && {
      access_token: mask(tokens.accessToken),
      expires_at: tokens.expiresAt ?? null,
      is_expired: tokens.expiresAt !== undefined && now >= tokens.expiresAt,
      days_remaining: tokens.expiresAt === undefined ? null : daysRemaining(tokens.expiresAt, now),
      resource_url: tokens.metadata['resource_url'] ?? null,
    }),
    ...(claims && { user_id: claims.userId ?? null, issued_at: claims.issuedAt ?? null }),
  }
  answer(line, facts, factsTable(facts))
}

export async function token(line: CommandLine): Promise<void> {
  const access_token = await managerOf(line).accessToken()
  answer(line, { access_token }, `${access_token}\n`)
}

export async function logout(line: CommandLine): Promise<void> {
  const manager = managerOf(line)
  await manager.logout()
  const { file } = manager.persistence
  answer(line, { file, logged_in: false }, `Forgotten: ${file}\n`)
}

function factsTable(facts: Record<string, unknown>): string {
  const shown = Object.entries(facts).map(([name, value]) => {
    const isInstant = name.endsWith('_at') && typeof value === 'number'
    return `${name.replaceAll('_', ' ').padEnd(16)} ${isInstant ? new Date(value).toLocaleString() : (value ?? '-')}\n`
  })
  return shown.join('')
}
