/**
 * `configs`: the accounts, and a new one. What is secret of it comes from the environment or from standard input.
 */
import { NEW_CONFIG, type NewConfigBody, type OAuthTokenBody } from '../admin/schemas.ts'
import { terminalLanguage } from '../base/language.ts'
import { firstMistake } from '../base/mistake.ts'
import { visible } from '../base/visible.ts'
import { parseWebSession } from '../credential/persistence/web-session-text.ts'
import type { Provider } from '../provider/provider.ts'
import { isFetched, renewalClass } from '../provider/renewal-class.ts'
import { COMMAND_LINE } from '../storage/audit-log.ts'
import { type CommandLine, InputError, UsageError } from './command-line.ts'
import { allInputs } from './given-inputs.ts'
import { answer, table } from './output.ts'
import { readSecret } from './secret-input.ts'
import { findConfigs, inWorkspace, NO_CONFIGS } from './workspace.ts'

const STATE_COLUMN = 3

export async function configs(line: CommandLine): Promise<void> {
  const [action = 'list', name] = line.words
  if (action === 'create') return create(line, name)
  if (action !== 'list')
    throw new UsageError('configs takes list or create', 'configs 后面应为 list 或 create')
  await inWorkspace(async ({ configReader }) => {
    const rows = await findConfigs(configReader)
    const facts = rows.map(({ id, name, provider, oauth_state, is_active }) => ({
      ...{ id, name, provider },
      state: is_active ? oauth_state : 'disabled',
    }))
    const cells = facts.map(({ id, name, provider, state }) => [id, name, provider, state])
    const tone = (cell: string, column: number) => (column === STATE_COLUMN ? toneOf(cell) : undefined)
    answer(line, facts, table(cells, tone) || NO_CONFIGS)
  })
}

/** Nothing but what a person does helps. */
const BAD: ReadonlySet<string> = new Set(['reauth_required', 'refused', 'missing'])

function toneOf(state: string): 'good' | 'bad' | 'quiet' {
  if (state === 'disabled') return 'quiet'
  return BAD.has(state) ? 'bad' : 'good'
}

async function create(line: CommandLine, name: string | undefined): Promise<void> {
  const { options } = line
  if (!name) throw new UsageError('configs create needs a name', 'configs create 需要名称')
  if (!options.provider)
    throw new UsageError('configs create needs --provider', 'configs create 需要 --provider')
  const wanted = options.provider
  await inWorkspace(async ({ config: { providers }, adminConfigs: accounts }) => {
    const provider = providers.get(wanted)
    if (!provider) {
      const known = [...providers.keys()].sort().join(', ')
      throw new InputError(
        `there is no provider ${wanted}; there are ${known}`,
        `没有名为 ${wanted} 的提供方；现有：${known}`,
      )
    }
    const body = await bodyOf(name, provider, line)
    const mistake = firstMistake(NEW_CONFIG, body)
    if (mistake) throw new InputError(`${mistake.path.join('.')} ${mistake.message}`)
    const { id } = (await accounts.create(body, COMMAND_LINE)) as { id: string }
    answer(line, { id }, `${id}\n`)
    if (!options.json) process.stderr.write(`→ ${nextStep(name, provider)}\n`)
  })
}

function nextStep(name: string, provider: Provider): string {
  if (renewalClass(provider) !== 'login') return `token-broker doctor '${visible(name)}'`
  return { en: 'log it in, in the console', zh: '请在控制台登录该账号' }[terminalLanguage(process.env)]
}

async function bodyOf(name: string, provider: Provider, line: CommandLine): Promise<NewConfigBody> {
  const { options } = line
  const { upstream } = provider
  const models = (options.model ?? []).map((model_id) => ({ model_id }))
  const servesModels = upstream.baseUrl !== undefined || options['base-url'] !== undefined
  if (servesModels && models.length === 0 && upstream.models.length === 0)
    throw new InputError(
      `name at least one model that ${provider.name} serves: --model ID`,
      `请至少指定一个 ${provider.name} 的模型：--model ID`,
    )
  const inputs = Object.fromEntries(await allInputs(provider, line))
  return {
    ...{ name, provider: provider.name, models },
    ...(options['base-url'] !== undefined && { base_url: options['base-url'] }),
    ...(Object.keys(inputs).length > 0 && { inputs }),
    ...(await credentialOf(name, provider, options['api-key'])),
  }
}

/** What its kind of credential begins with. @param from where a secret is, see `readSecret`. @throws InputError */
async function credentialOf(
  name: string,
  provider: Provider,
  from: string | undefined,
): Promise<Pick<NewConfigBody, 'api_key' | 'oauth_token'>> {
  const { kind } = provider
  if (isFetched(kind) || renewalClass(provider) === 'local') return {}
  if (kind === 'api_key')
    return {
      api_key: await readSecret({ english: `the API key of ${name}`, chinese: `${name} 的 API 密钥` }, from),
    }
  if (kind === 'session')
    return {
      oauth_token: toBody(
        await readSecret({ english: `the session token of ${name}`, chinese: `${name} 的会话令牌` }, from),
      ),
    }
  // Its login is one with its own inputs, and comes once there is an account that has them.
  if (provider.inputs.some(({ isRequired }) => isRequired)) return {}
  throw new InputError(
    `${provider.name} needs a login: connect it in the console, or token-broker login ${provider.name} and then import the file that it names`,
    `${provider.name} 需要登录：请在控制台连接，或先运行 token-broker login ${provider.name}，再用 import 导入它写出的文件`,
  )
}

function toBody(text: string): OAuthTokenBody {
  const tokens = parseWebSession(text)
  if (!tokens)
    throw new InputError(
      'this is no session token; copy the whole of it, or the answer of /api/v1/auths/',
      '这不是会话令牌；请完整复制，或使用 /api/v1/auths/ 的响应',
    )
  return {
    access_token: tokens.accessToken,
    ...(tokens.expiresAt !== undefined && { expires_at: tokens.expiresAt }),
  }
}
