/**
 * `status`, `token`, `logout`: one login on a JSON file, without a server; `token --config` that of an account.
 */
import { systemClock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { mask } from '../base/secret.ts'
import { QwenTokenManager } from '../credential/qwen-token-manager.ts'
import { daysRemaining, readJwt } from '../oauth/jwt.ts'
import { readConfig } from '../settings/config.ts'
import { type CommandLine, UsageError } from './command-line.ts'
import { answer, shown } from './output.ts'

const DEFAULT_PROVIDER = 'qwen'

export function managerOf({ words, options }: CommandLine): QwenTokenManager {
  const name = words[0] ?? options.provider ?? DEFAULT_PROVIDER
  const { providers } = readConfig(process.env)
  const provider = providers.get(name)
  if (!provider) {
    const known = [...providers.keys()].sort().join(', ')
    throw new UsageError(
      `there is no provider ${name}; there are ${known}`,
      `没有提供方 ${name}；可用的有 ${known}`,
    )
  }
  return QwenTokenManager.getInstance(provider)
}

export async function status(line: CommandLine): Promise<void> {
  const manager = managerOf(line)
  const tokens = await manager.status()
  const now = systemClock()
  const claims = tokens && readJwt(tokens.accessToken)
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
  const [wanted] = line.options.config ?? []
  if (wanted !== undefined) return tokenOfConfig(line, wanted)
  const access_token = await managerOf(line).accessToken()
  answer(line, { access_token }, `${access_token}\n`)
}

/** Out of the database, like a running broker would; whoever runs this command has the encryption key anyway. */
async function tokenOfConfig(line: CommandLine, wanted: string): Promise<void> {
  const { COMMAND_LINE } = await import('../storage/audit-log.ts')
  const { findConfigs, inWorkspace } = await import('./workspace.ts')
  await inWorkspace(async ({ configReader, tokenReading }) => {
    const [config] = await findConfigs(configReader, wanted)
    if (!config) throw new BrokerError('config_not_found')
    const handed = await tokenReading.read(config.id, COMMAND_LINE)
    answer(line, handed, `${handed.access_token}\n`)
  })
}

export async function logout(line: CommandLine): Promise<void> {
  const manager = managerOf(line)
  await manager.logout()
  const { file } = manager.persistence
  answer(line, { file, logged_in: false }, `Forgotten: ${file}\n`)
}

function factsTable(facts: Record<string, unknown>): string {
  const lines = Object.entries(facts).map(([name, value]) => {
    const isInstant = name.endsWith('_at') && typeof value === 'number'
    return `${name.replaceAll('_', ' ').padEnd(16)} ${isInstant ? new Date(value).toLocaleString() : shown(String(value ?? '-'))}\n`
  })
  return lines.join('')
}
