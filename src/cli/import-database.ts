/**
 * `import mysql://…`: the accounts of another program that keeps them in a table `model_configs` of its own, with its
 * keys and tokens plain or sealed (Fernet). Nothing there is changed.
 */
import { sql } from 'kysely'
import type { ModelConfigAdmin } from '../admin/model-config-admin.ts'
import { NEW_CONFIG, type NewConfigBody } from '../admin/schemas.ts'
import { parseDatabaseUrl } from '../base/database-url.ts'
import { encryptionKeysOf } from '../base/encryption-keys.ts'
import { ConfigError } from '../base/environment.ts'
import { BrokerError } from '../base/errors.ts'
import { terminalLanguage } from '../base/language.ts'
import { firstMistake } from '../base/mistake.ts'
import { Secret } from '../base/secret.ts'
import { parseMetadata } from '../credential/credential-columns.ts'
import type { Provider } from '../provider/provider.ts'
import { isLogin } from '../provider/renewal-class.ts'
import { COMMAND_LINE } from '../storage/audit-log.ts'
import { openDatabase } from '../storage/database.ts'
import { refusalOf } from '../storage/storage-error.ts'
import { KeyRing } from '../vault/key-ring.ts'
import { type CommandLine, InputError } from './command-line.ts'
import { answer, table } from './output.ts'
import { readSecret } from './secret-input.ts'
import { inWorkspace } from './workspace.ts'

/** `model_configs` as such programs have it; the OAuth columns may be missing. */
interface TheirRow {
  readonly name: string
  readonly provider: string
  readonly base_url: string | null
  readonly api_key: string | null
  readonly models: unknown
  readonly is_active: unknown
  readonly oauth_access_token?: string | null
  readonly oauth_refresh_token?: string | null
  readonly oauth_token_type?: string | null
  readonly oauth_scope?: string | null
  readonly oauth_expires_at?: number | string | null
  readonly oauth_metadata?: unknown
}

interface Outcome {
  readonly name: string
  readonly provider: string
  readonly outcome: 'came over' | 'came over, login needed' | 'already here' | 'left out'
  readonly reason?: string
}

/** For providers that have no file here, but an address and a key as OpenAI's API takes them. */
const ANY_ENDPOINT = 'openai'
const WARNING = `From now on use these logins through the broker only: whichever program refreshes one next makes the
other one's refresh token worthless.
`

/** @param address `mysql://…`, or `env:NAME` of a variable that holds it */
export async function importDatabase(line: CommandLine, address: string): Promise<void> {
  const named = { english: 'the address', chinese: '数据库地址' }
  const url = address.startsWith('env:') ? await readSecret(named, address) : address
  const rows = await readRows(url)
  const theirs = await keysFrom(line.options['encryption-key'])
  await inWorkspace(async ({ config, adminConfigs, keyRing }) => {
    const outcomes: Outcome[] = []
    for (const row of rows)
      outcomes.push(
        await takeOver(row, { providers: config.providers, adminConfigs, keyRings: [theirs, keyRing] }),
      )
    const cells = outcomes.map(({ name, provider, outcome, reason = '' }) => [
      name,
      provider,
      outcome,
      reason,
    ])
    answer(line, outcomes, table(cells) || 'its model_configs is empty\n')
    if (outcomes.some(({ outcome }) => outcome === 'left out')) process.exitCode = 1
    if (rows.some((row) => row.oauth_refresh_token)) process.stderr.write(WARNING)
  })
}

interface Taking {
  readonly providers: ReadonlyMap<string, Provider>
  readonly adminConfigs: ModelConfigAdmin
  readonly keyRings: readonly (KeyRing | undefined)[]
}

async function takeOver(row: TheirRow, { providers, adminConfigs, keyRings }: Taking): Promise<Outcome> {
  const named =
    providers.get(row.provider) ?? (row.base_url && row.api_key ? providers.get(ANY_ENDPOINT) : undefined)
  const told = { name: row.name, provider: named?.name ?? row.provider }
  const leftOut = (reason: string): Outcome => ({ ...told, outcome: 'left out', reason })
  if (!named) return leftOut('there is no provider file of this name')
  try {
    const body = bodyOf(row, named, keyRings)
    const mistake = firstMistake(NEW_CONFIG, body)
    if (mistake) return leftOut(`${mistake.path.join('.')} ${mistake.message}`)
    await adminConfigs.create(body, COMMAND_LINE)
    const needsLogin = isLogin(named.kind) || named.kind === 'session'
    return { ...told, outcome: needsLogin && !body.oauth_token ? 'came over, login needed' : 'came over' }
  } catch (error) {
    if (error instanceof UnreadableError) return leftOut(error.message)
    if (!(error instanceof BrokerError) || error.status >= 500) throw error
    if (error.code === 'name_taken') return { ...told, outcome: 'already here' }
    return leftOut(error.in(terminalLanguage(process.env)))
  }
}

class UnreadableError extends Error {}

function bodyOf(
  row: TheirRow,
  { name: provider, kind }: Provider,
  keyRings: Taking['keyRings'],
): NewConfigBody {
  const { name, base_url } = row
  const body = { name, provider, models: modelsOf(row.models), is_active: Number(row.is_active ?? 1) !== 0 }
  if (kind === 'api_key') {
    const api_key = opened(row, 'api_key', keyRings)
    return { ...body, ...(base_url && { base_url }), ...(api_key && { api_key }) }
  }
  const access_token = opened(row, 'oauth_access_token', keyRings)
  if (!access_token) return body
  const { resource_url } = parseMetadata(row.oauth_metadata)
  return {
    ...body,
    oauth_token: {
      access_token,
      refresh_token: opened(row, 'oauth_refresh_token', keyRings) ?? null,
      expires_at: row.oauth_expires_at == null ? null : Number(row.oauth_expires_at),
      ...(row.oauth_token_type && { token_type: row.oauth_token_type }),
      scope: row.oauth_scope ?? null,
      ...(typeof resource_url === 'string' && { resource_url }),
    },
  }
}

/** How a Fernet token begins for the next centuries: its version, and the first bytes of its time. */
const SEALED = /^gAAAA[\w-]{90,}={0,2}$/

/** What a column holds, plain or sealed. @throws UnreadableError */
function opened(
  row: TheirRow,
  column: 'api_key' | 'oauth_access_token' | 'oauth_refresh_token',
  keyRings: Taking['keyRings'],
): string | undefined {
  const text = row[column] || undefined
  if (text === undefined || !SEALED.test(text)) return text
  for (const keyRing of keyRings) {
    try {
      if (keyRing) return keyRing.open(text)
    } catch {
      // the next may
    }
  }
  throw new UnreadableError(`its ${column} is sealed with another key: give it by --encryption-key env:NAME`)
}

/** A JSON column comes as text or as what it holds. @throws UnreadableError */
function modelsOf(column: unknown): NewConfigBody['models'] {
  const models: unknown = typeof column === 'string' ? parsed(column) : column
  if (!Array.isArray(models)) throw new UnreadableError('its models are no list')
  return models.map((model: Record<string, unknown>) => ({
    model_id: model?.['model_id'] as string,
    ...(model?.['support_vision'] !== undefined && { support_vision: Boolean(model['support_vision']) }),
    ...(model?.['support_thinking'] !== undefined && {
      support_thinking: Boolean(model['support_thinking']),
    }),
  }))
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function keysFrom(option: string | undefined): Promise<KeyRing | undefined> {
  if (option === undefined) return undefined
  const text = await readSecret({ english: 'its encryption key', chinese: '其加密密钥' }, option)
  try {
    return new KeyRing(encryptionKeysOf({ TOKEN_ENCRYPTION_KEY: text }, false).encryptionKeys)
  } catch (error) {
    throw new InputError((error as Error).message.replace('TOKEN_ENCRYPTION_KEY', '--encryption-key'))
  }
}

/** @throws InputError | BrokerError storage_unavailable */
async function readRows(url: string): Promise<TheirRow[]> {
  const database = open(url)
  try {
    const { rows } = await database.run((db) =>
      sql<TheirRow>`select * from model_configs order by id`.execute(db),
    )
    const [first] = rows
    if (first && 'oauth_state' in first)
      throw new InputError(
        "this is a broker's own database: name it in DATABASE_URL, and it is used as it is",
        '这是 token-broker 自己的数据库：请在 DATABASE_URL 中指定它直接使用',
      )
    return rows
  } catch (error) {
    const refusal = refusalOf(error)
    throw refusal === undefined
      ? error
      : new InputError(`the database refuses: ${refusal}`, `数据库拒绝：${refusal}`)
  } finally {
    await database.close()
  }
}

function open(url: string) {
  try {
    parseDatabaseUrl(url) // else it would be read with the first query
    return openDatabase({ mysqlUrl: new Secret(url), dataDir: '' })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new InputError(error.message.replace('DATABASE_URL', 'the address'))
  }
}
