/**
 * `keys`: what the management API shows, on the terminal.
 */
import { COMMAND_LINE } from '../storage/audit-log.ts'
import { type CommandLine, InputError, UsageError } from './command-line.ts'
import { answer, table } from './output.ts'
import { findConfigs, inWorkspace } from './workspace.ts'

export async function keys(line: CommandLine): Promise<void> {
  const {
    words: [action = 'list', word],
    options,
  } = line
  await inWorkspace(async ({ apiKeyReader, apiKeyStore, configReader }) => {
    switch (action) {
      case 'list': {
        const records = await apiKeyReader.all()
        const facts = records.map(({ id, name, prefix, expiresAt }) => ({
          id,
          name,
          prefix,
          expires_at: expiresAt,
        }))
        const cells = records.map(({ id, name, prefix }) => [id, `${prefix}…`, name])
        answer(line, facts, table(cells) || 'no keys yet; keys create NAME makes one\n')
        return
      }
      case 'create': {
        if (!word) throw new UsageError('keys create needs a name', 'keys create 需要名称')
        const ids = []
        for (const wanted of options.config ?? []) {
          ids.push(...(await findConfigs(configReader, wanted)).map(({ id }) => id))
        }
        const { record, key } = await apiKeyStore.create(
          {
            name: word,
            modelConfigIds: options.config ? ids : null,
            models: options.model ?? null,
            mayReadTokens: options['may-read-tokens'] ?? false,
          },
          COMMAND_LINE,
        )
        answer(line, { id: record.id, key }, `${key}\n`)
        return
      }
      case 'revoke':
        if (!word) throw new UsageError('keys revoke needs an id', 'keys revoke 需要 ID')
        await apiKeyStore.delete(word, COMMAND_LINE)
        answer(line, { id: word, revoked: true }, `revoked ${word}\n`)
        return
      case 'rotate': {
        if (!word) throw new UsageError('keys rotate needs an id', 'keys rotate 需要 ID')
        const { key } = await apiKeyStore.rotate(word, overlapOf(line), COMMAND_LINE)
        answer(line, { id: word, key }, `${key}\n`)
        return
      }
      default:
        throw new UsageError(
          'keys takes list, create, rotate or revoke',
          'keys 后面应为 list、create、rotate 或 revoke',
        )
    }
  })
}

const DAY_SECONDS = 86_400
const MAX_OVERLAP_SECONDS = 7 * DAY_SECONDS

/** How long the key before goes on working. */
function overlapOf({ options }: CommandLine): number {
  const text = options['overlap-seconds'] ?? String(DAY_SECONDS)
  const seconds = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (seconds <= MAX_OVERLAP_SECONDS) return seconds
  throw new InputError(
    `--overlap-seconds must be a whole number from 0 to ${MAX_OVERLAP_SECONDS}`,
    `--overlap-seconds 必须是 0 到 ${MAX_OVERLAP_SECONDS} 的整数`,
  )
}
