/**
 * `import FILE`: a login that another program wrote down, into a model config.
 */
import { readFile } from 'node:fs/promises'
import { ModelConfigStore } from '../admin/model-config-store.ts'
import { parseTokenFile } from '../credential/persistence/token-persistence.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import { type CommandLine, UsageError } from './command-line.ts'
import { answer } from './output.ts'
import { inWorkspace } from './workspace.ts'

const WARNING = `From now on use this login through the broker only: whichever program refreshes it next makes the
other one's refresh token worthless.
`

export async function importFile(line: CommandLine): Promise<void> {
  const {
    words: [file],
    options,
  } = line
  if (!file) throw new UsageError('import needs a file')
  const tokens = await readTokens(file)
  await inWorkspace(async ({ config, database, changes, credentialStore }) => {
    const provider = config.providers.get(options.provider ?? 'qwen')
    if (provider?.kind !== 'device_code') throw new UsageError('--provider must name a device_code provider')
    const models = options.model ?? provider.upstream.models
    const id = await new ModelConfigStore(database, changes).create(
      {
        name: options.name ?? provider.name,
        provider: provider.name,
        base_url: '',
        api_key: '',
        models: models.map((model_id) => ({ model_id, support_vision: false, support_thinking: false })),
        aliases: {},
        is_active: true,
      },
      {
        columns: credentialStore.seal(tokens),
        sessionId: undefined,
      },
    )
    answer(line, { id }, `${id}\n`)
    process.stderr.write(WARNING)
  })
}

async function readTokens(file: string): Promise<TokenSet> {
  try {
    return parseTokenFile(await readFile(file, 'utf8'))
  } catch (error) {
    const why =
      error instanceof SyntaxError ? 'is not a credentials file' : (error as NodeJS.ErrnoException).code
    throw new UsageError(`${file}: ${why}`)
  }
}
