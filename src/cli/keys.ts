/**
 * `keys` and `configs`: what the management API shows, on the terminal.
 */
import { type CommandLine, UsageError } from './command-line.ts'
import { answer, table } from './output.ts'
import { findConfigs, inWorkspace, NO_CONFIGS } from './workspace.ts'

export async function keys(line: CommandLine): Promise<void> {
  const {
    words: [action = 'list', word],
    options,
  } = line
  await inWorkspace(async ({ apiKeys, database }) => {
    switch (action) {
      case 'list': {
        const records = await apiKeys.list()
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
        if (!word) throw new UsageError('keys create needs a name')
        const ids = []
        for (const wanted of options.config ?? []) {
          ids.push(...(await findConfigs(database, wanted)).map(({ id }) => id))
        }
        const { record, key } = await apiKeys.create({
          name: word,
          modelConfigIds: options.config ? ids : null,
          models: options.model ?? null,
        })
        answer(line, { id: record.id, key }, `${key}\n`)
        return
      }
      case 'revoke':
        if (!word) throw new UsageError('keys revoke needs an id')
        await apiKeys.delete(word)
        answer(line, { id: word, revoked: true }, `revoked ${word}\n`)
        return
      default:
        throw new UsageError('keys takes list, create or revoke')
    }
  })
}

const STATE_COLUMN = 3

export async function configs(line: CommandLine): Promise<void> {
  const [action = 'list'] = line.words
  if (action !== 'list') throw new UsageError('configs takes list')
  await inWorkspace(async ({ database }) => {
    const rows = await findConfigs(database)
    const facts = rows.map(({ id, name, provider, oauth_state, is_active }) => ({
      ...{ id, name, provider },
      state: is_active ? oauth_state : 'disabled',
    }))
    const cells = facts.map(({ id, name, provider, state }) => [id, name, provider, state])
    const tone = (cell: string, column: number) => (column === STATE_COLUMN ? toneOf(cell) : undefined)
    answer(line, facts, table(cells, tone) || NO_CONFIGS)
  })
}

function toneOf(state: string): 'good' | 'bad' | 'quiet' {
  if (state === 'disabled') return 'quiet'
  return state === 'reauth_required' || state === 'missing' ? 'bad' : 'good'
}
