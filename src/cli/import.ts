/**
 * `import FILE`: a login that another program wrote down, into a model config.
 */
import { readFile } from 'node:fs/promises'
import { parseTokenFile } from '../credential/persistence/token-persistence.ts'
import { parseWebSession } from '../credential/persistence/web-session-text.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { Provider } from '../provider/provider.ts'
import { isLogin } from '../provider/renewal-class.ts'
import { COMMAND_LINE } from '../storage/audit-log.ts'
import { type CommandLine, InputError, UsageError } from './command-line.ts'
import { answer } from './output.ts'
import { readSecret } from './secret-input.ts'
import { inWorkspace } from './workspace.ts'

const WARNING = `From now on use this login through the broker only: whichever program refreshes it next makes the
other one's refresh token worthless.
`

export async function importFile(line: CommandLine): Promise<void> {
  const {
    words: [file],
    options,
  } = line
  if (!file)
    throw new UsageError(
      'import needs a file or the address of a database',
      'import 需要一个文件或数据库地址',
    )
  if (/^(?:mysql:|env:)/i.test(file)) return (await import('./import-database.ts')).importDatabase(line, file)
  await inWorkspace(async ({ config, configStore, logins }) => {
    const provider = config.providers.get(options.provider ?? 'qwen')
    if (!provider || !(isLogin(provider.kind) || provider.kind === 'session'))
      throw new InputError(
        '--provider must name a provider of device_code, authorization_code or session',
        '--provider 必须是 device_code、authorization_code 或 session 类型的提供方',
      )
    const tokens = await readTokens(file, provider)
    const models = options.model ?? provider.upstream.models
    const id = await configStore.create(
      {
        name: options.name ?? provider.name,
        provider: provider.name,
        base_url: '',
        api_key: '',
        models: models.map((model_id) => ({ model_id, support_vision: false, support_thinking: false })),
        aliases: {},
        is_active: true,
      },
      logins.ofTokens(tokens),
      COMMAND_LINE,
    )
    answer(line, { id }, `${id}\n`)
    if (isLogin(provider.kind)) process.stderr.write(WARNING)
  })
}

async function readTokens(file: string, { kind }: Provider): Promise<TokenSet> {
  const text = await readText(file)
  if (kind === 'session') {
    const session = parseWebSession(text)
    if (session) return session
    throw new InputError(`${file}: holds no session token`, `${file}: 没有会话令牌`)
  }
  try {
    return parseTokenFile(text)
  } catch {
    throw new InputError(`${file}: is not a credentials file`, `${file}: 不是凭据文件`)
  }
}

async function readText(file: string): Promise<string> {
  if (file === '-') return readSecret({ english: 'the login', chinese: '登录凭据' })
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new InputError(`${file}: ${(error as NodeJS.ErrnoException).code}`)
  }
}
