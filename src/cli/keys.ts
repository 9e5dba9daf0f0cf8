/**
 * `keys` and `configs`: what the management API shows, on the terminal.
 */
import { type CommandLine, UsageError } from './command-line.ts'
import { answer, table } from './output.ts'
import { inWorkspace } from './workspace.ts'

export async function keys(line: CommandLine): Promise<void> {
  const {
    words: [action, word],
    options,
  } = line
  await inWorkspace(async ({ apiKeys }) => {
    switch (action) {
      case 'list': {
        const records = await apiKeys.list()
        const facts = records.map(({ id, name, prefix, expiresAt }) => ({
          id,
          name,
          prefix,
          expires_at: expiresAt,
        }))
        answer(line, facts, table(records.map(({ id, name, prefix }) => [id, `${prefix}…`, name])))
        return
      }
      case 'create': {
        if (!word) throw new UsageError('keys create needs a name')
        const { record, key } = await apiKeys.create({
          name: word,
          modelConfigIds: options.config ?? null,
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
  if (line.words[0] !== 'list') throw new UsageError('configs takes list')
  await inWorkspace(async ({ database }) => {
    const rows = await database.run((db) =>
      db
        .selectFrom('model_configs')
        .select(['id', 'name', 'provider', 'oauth_state', 'is_active'])
        .where('deleted_at', 'is', null)
        .orderBy('created_at')
        .execute(),
    )
    const facts = rows.map(({ id, name, provider, oauth_state, is_active }) => ({
      ...{ id, name, provider },
      state: is_active ? oauth_state : 'disabled',
    }))
    const cells = facts.map(({ id, name, provider, state }) => [id, name, provider, state])
    const tone = (cell: string, column: number) => (column === STATE_COLUMN ? toneOf(cell) : undefined)
    answer(line, facts, table(cells, tone))
  })
}

function toneOf(state: string): 'good' | 'bad' | 'quiet' {
  if (state === 'disabled') return 'quiet'
  return state === 'reauth_required' || state === 'missing' ? 'bad' : 'good'
}
